/// What connections over UDP hold of messages that are incomplete or wait for others, and who makes
/// room there for others (notes.md 6.2). What streams hold is counted apart from it.
extension Endpoint {
  /// At most so often all connections are looked at for room.
  static let roomSearchPause = Interval.milliseconds(100)
  /// Nobody is ended who holds no more than comes of it in so long.
  static let quickHold = Interval.seconds(8)

  /// By how much what a connection holds may grow by its own bound: to the largest message, with what
  /// is counted besides the bytes of its pieces, and all that may be with it.
  func ownRoom(_ traffic: Traffic) -> Int {
    let largest = traffic.largest
    return largest + largest / 16 + 4096 + Outbox.heldLimit - traffic.heldBytes
  }

  /// By how much what all connections over UDP hold together may grow.
  var roomOverUDP: Int { Int(clamping: limits.receiveBytes) - heldOverUDP }

  /// Takes over what a connection holds now, for the sum of the box.
  mutating func hold(_ traffic: Traffic) {
    hold(traffic, (traffic.reassembly?.heldBytes ?? 0) + (traffic.inbox?.heldBytes ?? 0))
  }

  mutating func hold(_ traffic: Traffic, _ bytes: Int) {
    heldOverUDP += bytes - traffic.heldBytes
    traffic.heldBytes = bytes
  }

  /// Others are to make room when the datagram at hand is done.
  mutating func wantRoom(_ bytes: Int) {
    roomWanted = max(roomWanted, bytes)
  }

  /// Takes room from those that hold longest by their pace, and not from the one that happens to need
  /// it: else who begins messages and ends none would keep all others from theirs. Messages that are
  /// not reliable are dropped, and where that is not enough, the session is ended. So much is freed
  /// beyond what is needed that all connections need not be looked at again soon.
  ///
  /// Nobody goes who is faster than `asker`: when its turn comes, it goes itself.
  mutating func makeRoomOverUDP(for asker: Int, at now: Instant) {
    let wanted = roomWanted - roomOverUDP
    roomWanted = 0
    guard wanted > 0, now >= nextRoomSearch else { return }
    nextRoomSearch = now + Endpoint.roomSearchPause
    var left = wanted + heldOverUDP / 16
    for holder in slowHolders(at: now) where left > 0 {
      left -= giveRoom(holder.slot, atMost: left, at: now)
      if holder.slot == asker { return }
    }
  }

  /// Who holds something over UDP that would take long to come again, the slowest first.
  private func slowHolders(at now: Instant) -> [(wait: UInt64, slot: Int)] {
    var holders: [(wait: UInt64, slot: Int)] = []
    for slot in connections.slots where connections.isLive(slot) {
      guard connections[slot].transport == .udp, connections[slot].hasSession,
        let traffic = connections[slot].traffic, traffic.heldBytes > 0
      else { continue }
      let wait = traffic.holdingTime(at: now)
      if wait >= Endpoint.quickHold.nanoseconds / 1_000_000 { holders.append((wait, slot)) }
    }
    holders.sort { $0.wait > $1.wait }
    return holders
  }

  /// Frees what is not reliable, then all of a connection. Returns how many bytes that were.
  private mutating func giveRoom(_ slot: Int, atMost wanted: Int, at now: Instant) -> Int {
    guard let traffic = connections[slot].traffic else { return 0 }
    let before = traffic.heldBytes
    drop(.incomplete, slot, count: UInt64(traffic.reassembly?.giveUpUnreliable() ?? 0))
    hold(traffic)
    if traffic.heldBytes > 0, before - traffic.heldBytes < wanted { endForMemory(slot, at: now) }
    return before - traffic.heldBytes
  }

  /// Ends a connection for the memory that it holds.
  mutating func endForMemory(_ slot: Int, at now: Instant) {
    guard connections[slot].hasSession else { return }
    drop(.memory, slot)
    if connections[slot].phase == .closing {
      finishClosing(slot, at: now)
    } else {
      cutOff(slot, .overload, .overload, at: now)
    }
  }
}

extension Traffic {
  /// After so long what came counts half as much.
  private static var halfLife: Interval { .seconds(4) }

  /// Bytes of a message that may have to be held have come, whether there was room or not.
  func partCame(_ bytes: Int, at now: Instant) {
    lately = lately(at: now) &+ bytes
    if now.since(cameAt) >= Traffic.halfLife { cameAt = now }
  }

  /// Bytes that came lately. What is refused because the program is slow is no fault of the sender,
  /// so nothing grows old meanwhile.
  private func lately(at now: Instant) -> Int {
    let age = now.since(max(cameAt, refusedAt))
    guard age >= Traffic.halfLife else { return lately }
    return lately >> Int(min(age.nanoseconds / Traffic.halfLife.nanoseconds, 63))
  }

  /// How many milliseconds what is held would take to come again as fast as it came lately.
  fileprivate func holdingTime(at now: Instant) -> UInt64 {
    let milliseconds = Traffic.halfLife.nanoseconds / 1_000_000
    return UInt64(max(heldBytes, 0)) &* milliseconds / (UInt64(max(lately(at: now), 0)) &+ 1)
  }
}
