/// The notes' conn_status map: who is connected. Keyed by our session id, which the core has chosen
/// itself, at random: its low bits are the hash. The ids are read from the records.
struct ConnStatus: ~Copyable {
  private var table = SlotTable()

  var count: Int { table.count }

  @inline(__always)
  func slot(_ session: UInt64, in records: borrowing Slab<ConnectionRecord>) -> Int? {
    table.slot(session) { records[$0].session == session }
  }

  mutating func add(_ slot: Int, in records: borrowing Slab<ConnectionRecord>) {
    table.insert(slot, of: records) { $0[$1].session }
  }

  mutating func remove(_ slot: Int, in records: borrowing Slab<ConnectionRecord>) {
    table.remove(slot, of: records) { $0[$1].session }
  }
}

/// Server connections over UDP by the id that we send with: who is meant by a close that says "unknown
/// session". The peers have chosen these ids.
struct SendSessions: ~Copyable {
  private var table = SlotTable()
  private let hash: KeyedHash

  /// - Parameter key: random, and known to nobody.
  init(key: UInt64) {
    hash = KeyedHash(key: key)
  }

  func slot(_ session: UInt64, in records: borrowing Slab<ConnectionRecord>) -> Int? {
    table.slot(hash.adding(session).value) { records[$0].peerSession == session }
  }

  mutating func add(_ slot: Int, in records: borrowing Slab<ConnectionRecord>) {
    let hash = hash
    table.insert(slot, of: records) { hash.adding($0[$1].peerSession).value }
  }

  mutating func remove(_ slot: Int, in records: borrowing Slab<ConnectionRecord>) {
    let hash = hash
    table.remove(slot, of: records) { hash.adding($0[$1].peerSession).value }
  }

  mutating func removeAll() { table = SlotTable() }
}
