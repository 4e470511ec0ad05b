/// A session over UDP that has ended: it answers what comes late, and repeats its close until that
/// is answered.
struct Tombstone: Vacant {
  var session: UInt64 = 0
  var peerSession: UInt64 = 0
  var socket = ConnectionRecord.noSocket
  var remote = Address.unspecified
  var local = Address.unspecified
  var reason = CloseReason.normal
  /// Repeats of the close that are still to come; 0 when it was answered or none is owed.
  var repeatsLeft = 0
  var expiry = Instant(nanoseconds: 0)
  var timer = TimerID.none

  /// Where the peer is.
  var source: DatagramSource { DatagramSource(socket: socket, remote: remote, local: local) }

  static func vacant() -> Tombstone { Tombstone() }
}

/// The tombstones of a box, by our id: at most so many, the oldest out first.
struct Tombstones: ~Copyable {
  static let lifetime = Interval.seconds(30)
  static let repeatGap = Interval.milliseconds(200)
  static let repeats = 2

  private var stones = Slab<Tombstone>(maxSlots: Handle.maxSlots)
  private var bySession = SlotTable()
  private var order = FIFO<UInt64>()

  var count: Int { stones.count }

  func slot(session: UInt64) -> Int? {
    bySession.slot(session) { stones[$0].session == session }
  }

  subscript(slot: Int) -> Tombstone {
    @inline(__always) get { stones[slot] }
    @inline(__always) _modify { yield &stones[slot] }
  }

  mutating func insert(_ stone: Tombstone) -> Int? {
    guard let slot = stones.insert(stone) else { return nil }
    bySession.insert(slot, of: stones) { $0[$1].session }
    order.append(stone.session)
    return slot
  }

  mutating func remove(_ slot: Int) {
    bySession.remove(slot, of: stones) { $0[$1].session }
    stones.remove(slot)
    while let session = order.first, self.slot(session: session) == nil { order.dropFirst() }
  }

  func isLive(_ slot: Int) -> Bool { stones.isLive(slot) }

  var oldest: Int? { order.first.flatMap { slot(session: $0) } }
}
