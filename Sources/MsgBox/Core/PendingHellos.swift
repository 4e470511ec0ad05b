/// A hello that was answered and not yet confirmed. It is no connection: no event tells of it.
struct PendingHello: Vacant, Linked {
  var session: UInt64 = 0
  var peer = Introduction(session: 0, lostAfter: 0, largest: 0)
  var listener = ConnectionRecord.noSlot
  var socket = ConnectionRecord.noSocket
  var remote = Address.unspecified
  var local = Address.unspecified
  var timer = TimerID.none
  var answeredAt = Instant(nanoseconds: 0)
  /// When the accept was sent; nil if it was sent again.
  var acceptedAt: Instant?
  /// Its place among those of the same listener.
  var links = SlotLinks()

  /// Where the hello came from, and so where answers go.
  var source: DatagramSource { DatagramSource(socket: socket, remote: remote, local: local) }

  static func vacant() -> PendingHello { PendingHello() }
}

/// Hellos that wait for their confirmation, by our id and by (socket, source, the client's id), so
/// that a repeated hello gets the same id and makes one peer, and the same hello from elsewhere
/// learns nothing of it.
struct PendingHellos: ~Copyable {
  static let lifetime = Interval.seconds(30)
  /// The least time between two answers to the same hello.
  static let answerGap = Interval.milliseconds(100)

  private var hellos = Slab<PendingHello>(maxSlots: Handle.maxSlots)
  private var bySession = SlotTable()
  private var bySource = SlotTable()
  private let sourceHash: SourceHash

  /// - Parameter key: random, and known to nobody.
  init(key: UInt64) {
    sourceHash = SourceHash(key: key)
  }

  var count: Int { hellos.count }

  func slot(session: UInt64) -> Int? {
    bySession.slot(session) { hellos[$0].session == session }
  }

  func slot(socket: SocketID, source: Address, clientSession: UInt64) -> Int? {
    bySource.slot(sourceHash.of(socket, source, clientSession)) {
      hellos[$0].peer.session == clientSession && hellos[$0].remote == source
        && hellos[$0].socket == socket
    }
  }

  subscript(slot: Int) -> PendingHello {
    @inline(__always) get { hellos[slot] }
    @inline(__always) _modify { yield &hellos[slot] }
  }

  /// So many of the oldest are looked at for one to make room.
  private static let mostLooks = 64

  /// The hello that makes room for one from `ip`: of the oldest the first from the same prefix, or
  /// else the oldest. One host that says ever new hellos, cookies and all, pushes out its own.
  func oldest(of list: SlotList, for ip: IPAddress) -> Int? {
    let prefix = ip.sourcePrefix
    return hellos.first(of: list, within: Self.mostLooks) { $0.remote.ip.sourcePrefix == prefix }
      ?? list.first
  }

  /// Adds a hello to the table, and to the list of its listener's.
  mutating func insert(_ hello: PendingHello, to list: inout SlotList) -> Int? {
    guard let slot = hellos.insert(hello) else { return nil }
    hellos.append(slot, to: &list)
    bySession.insert(slot, of: hellos) { $0[$1].session }
    let hash = sourceHash
    bySource.insert(slot, of: hellos) { hash.of($0, $1) }
    return slot
  }

  mutating func remove(_ slot: Int, from list: inout SlotList) {
    hellos.unlink(slot, from: &list)
    bySession.remove(slot, of: hellos) { $0[$1].session }
    let hash = sourceHash
    bySource.remove(slot, of: hellos) { hash.of($0, $1) }
    hellos.remove(slot)
  }
}

/// The hash of where a hello came from and which id it told.
private struct SourceHash {
  private let hash: KeyedHash

  init(key: UInt64) {
    hash = KeyedHash(key: key)
  }

  func of(_ hellos: borrowing Slab<PendingHello>, _ slot: Int) -> UInt64 {
    of(hellos[slot].socket, hellos[slot].remote, hellos[slot].peer.session)
  }

  func of(_ socket: SocketID, _ source: Address, _ clientSession: UInt64) -> UInt64 {
    hash.adding(clientSession).adding(source).adding(UInt64(socket.rawValue)).value
  }
}
