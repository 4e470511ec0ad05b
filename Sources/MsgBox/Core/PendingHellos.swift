/// A hello that was answered and not yet confirmed. It is no connection: no event tells of it.
struct PendingHello: Vacant, Linked {
  var session: UInt64 = 0
  var peer = Introduction(session: 0, lostAfter: 0, largest: 0)
  var listener = ConnectionRecord.noSlot
  var socket = ConnectionRecord.noSocket
  var remote = Address.unspecified
  var local = Address.unspecified
  var timer = TimerID.none
  /// When the accept was sent; nil if it was sent again.
  var acceptedAt: Instant?
  /// Its place among those of the same listener.
  var links = SlotLinks()

  /// Where the hello came from, and so where answers go.
  var source: DatagramSource { DatagramSource(socket: socket, remote: remote, local: local) }

  static var vacant: PendingHello { PendingHello() }
}

/// Hellos that wait for their confirmation, by our id and by (socket, source, the client's id), so
/// that a repeated hello gets the same id and makes one peer, and the same hello from elsewhere
/// learns nothing of it.
struct PendingHellos: ~Copyable {
  private struct Key: Hashable {
    var socket: SocketID
    var source: Address
    var clientSession: UInt64
  }

  static let lifetime = Interval.seconds(30)

  private var hellos = Slab<PendingHello>(maxSlots: Handle.maxSlots)
  private var bySession: [UInt64: UInt32] = [:]
  private var bySource: [Key: UInt32] = [:]

  var count: Int { hellos.count }

  func slot(session: UInt64) -> Int? { bySession[session].map(Int.init) }

  func slot(socket: SocketID, source: Address, clientSession: UInt64) -> Int? {
    bySource[Key(socket: socket, source: source, clientSession: clientSession)].map(Int.init)
  }

  subscript(slot: Int) -> PendingHello {
    get { hellos[slot] }
    _modify { yield &hellos[slot] }
  }

  /// Adds a hello to the table, and to the list of its listener's.
  mutating func insert(_ hello: PendingHello, to list: inout SlotList) -> Int? {
    guard let slot = hellos.insert(hello) else { return nil }
    hellos.append(slot, to: &list)
    bySession[hello.session] = UInt32(truncatingIfNeeded: slot)
    bySource[key(hello)] = UInt32(truncatingIfNeeded: slot)
    return slot
  }

  mutating func remove(_ slot: Int, from list: inout SlotList) {
    let hello = hellos[slot]
    hellos.unlink(slot, from: &list)
    bySession[hello.session] = nil
    bySource[key(hello)] = nil
    hellos.remove(slot)
  }

  private func key(_ hello: PendingHello) -> Key {
    Key(socket: hello.socket, source: hello.remote, clientSession: hello.peer.session)
  }
}
