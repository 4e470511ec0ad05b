/// Peers of `implicit` listeners, which have no session id on the wire, by socket and address; and
/// for a second after their end their ghosts, so that a heartbeat that comes late does not bring
/// them back.
struct ImplicitPeers: ~Copyable {
  struct Key: Hashable {
    var socket: SocketID
    var remote: Address
  }

  enum Entry: Equatable {
    case live(slot: Int)
    case ghost(until: Instant)
  }

  static let ghostLifetime = Interval.seconds(1)

  private var entries: [Key: Entry] = [:]
  /// Ghosts in the order of their ends, all of the same lifetime.
  private var ghosts = FIFO<(key: Key, until: Instant)>()

  func entry(_ key: Key) -> Entry? { entries[key] }

  mutating func add(_ key: Key, slot: Int) {
    entries[key] = .live(slot: slot)
  }

  mutating func end(_ key: Key, at now: Instant) {
    let until = now + ImplicitPeers.ghostLifetime
    entries[key] = .ghost(until: until)
    ghosts.append((key, until))
  }

  var nextDeadline: Instant? { ghosts.first?.until }

  mutating func forgetGhosts(at now: Instant) {
    while let ghost = ghosts.first, ghost.until <= now {
      ghosts.dropFirst()
      // The peer may have come back since, or become another ghost.
      if entries[ghost.key] == .ghost(until: ghost.until) { entries[ghost.key] = nil }
    }
  }
}
