/// Peers of `implicit` listeners, which have no session id on the wire, by socket and address; and
/// for a second after their end their ghosts, so that a heartbeat that comes late does not bring
/// them back.
package struct ImplicitPeers: ~Copyable {
  struct Key: Hashable {
    var socket: SocketID
    var remote: Address
  }

  enum Entry: Equatable {
    case live(place: Int)
    case ghost(until: Instant)
  }

  static let ghostLifetime = Interval.seconds(1)
  /// The most of a box, with ghosts: each was made by a packet that may be forged.
  package static let most = 65_536

  private var entries: [Key: Entry] = [:]
  private var live = Slab<ImplicitPeer>(maxSlots: Handle.maxSlots)
  /// Ghosts in the order of their ends, all of the same lifetime.
  private var ghosts = FIFO<(key: Key, until: Instant)>()

  /// Those that live, and ghosts as often as they ended.
  var count: Int { liveCount + ghosts.count }
  var liveCount: Int { live.count }

  /// The connection of a peer, which has just been heard from, and so is now the last of the list
  /// of its listener's; nil if it is none.
  mutating func heard(_ key: Key, in list: inout SlotList) -> Int? {
    guard case .live(let place) = entries[key] else { return nil }
    if list.last != place {
      live.unlink(place, from: &list)
      live.append(place, to: &list)
    }
    return live[place].slot
  }

  func isGhost(_ key: Key) -> Bool {
    if case .ghost = entries[key] { true } else { false }
  }

  mutating func add(_ key: Key, slot: Int, to list: inout SlotList) {
    guard let place = live.insert(ImplicitPeer(slot: slot)) else { return }
    live.append(place, to: &list)
    entries[key] = .live(place: place)
  }

  mutating func end(_ key: Key, in list: inout SlotList, at now: Instant) {
    if case .live(let place) = entries[key] {
      live.unlink(place, from: &list)
      live.remove(place)
    }
    let until = now + ImplicitPeers.ghostLifetime
    entries[key] = .ghost(until: until)
    ghosts.append((key, until))
  }

  /// The connection of the one that has been silent for longest.
  func mostSilent(of list: SlotList) -> Int? { list.first.map { live[$0].slot } }

  var nextDeadline: Instant? { ghosts.first?.until }

  mutating func forgetGhosts(at now: Instant) {
    while let ghost = ghosts.first, ghost.until <= now {
      ghosts.dropFirst()
      // The peer may have come back since, or become another ghost.
      if entries[ghost.key] == .ghost(until: ghost.until) { entries[ghost.key] = nil }
    }
  }
}

/// A peer without a session in the list of its listener.
struct ImplicitPeer: Vacant, Linked {
  /// Of its connection.
  var slot = 0
  var links = SlotLinks()

  static func vacant() -> ImplicitPeer { ImplicitPeer() }
}
