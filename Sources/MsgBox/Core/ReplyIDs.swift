/// The reply ids in use at one connection, each with the slot of the get that waits under it.
///
/// Ids are given out nearly in order, so the lower bits of an id are its place in a table. An id
/// whose place is taken is passed over, and the table grows when three quarters of it are taken; at
/// its largest it has a place for each id.
package struct ReplyIDs: ~Copyable {
  private struct Entry: BitwiseCopyable {
    /// 0, which is nobody's, in a place that is free.
    var replyID: UInt16 = 0
    var get: UInt32 = 0
  }

  private static let leastSize = 16
  private static let maxSize = 65_536
  /// A larger table is given back when nobody waits.
  private static let keptSize = 1024

  private var table = Block<Entry>()
  /// Ids in use.
  package private(set) var count = 0

  package init() {}

  /// The slot of the get that waits under an id.
  @inline(__always)
  package func get(_ replyID: UInt16) -> Int? {
    guard replyID != 0, !table.isEmpty else { return nil }
    let entry = table[Int(replyID)]
    return entry.replyID == replyID ? Int(entry.get) : nil
  }

  /// The next id behind `last` that is neither 0 nor in use; nil if there is none.
  @inline(__always)
  package mutating func next(after last: UInt16) -> UInt16? {
    let replyID = last == .max ? 1 : last &+ 1
    // Those who ask and are answered in order come here only.
    if (count &+ 1) &* 4 <= table.count &* 3, table[Int(replyID)].replyID == 0 { return replyID }
    return next(after: last, reserved: [])
  }

  /// The next id behind `last` that is neither 0, nor in use, nor `reserved`; nil if there is none.
  @inline(never)
  package mutating func next(after last: UInt16, reserved: Set<UInt16>) -> UInt16? {
    guard count < Int(UInt16.max) else { return nil }
    if (count + 1) * 4 > table.count * 3 { grow() }
    while true {
      if let replyID = scan(after: last, reserved) { return replyID }
      guard table.count < ReplyIDs.maxSize else { return nil }
      grow()
    }
  }

  private func scan(after last: UInt16, _ reserved: Set<UInt16>) -> UInt16? {
    var replyID = last
    for _ in 0..<Int(UInt16.max) {
      replyID = replyID == .max ? 1 : replyID + 1
      guard table[Int(replyID)].replyID == 0 else { continue }
      if reserved.isEmpty || !reserved.contains(replyID) { return replyID }
    }
    return nil
  }

  /// Notes an id that `next` gave.
  @inline(__always)
  package mutating func add(_ replyID: UInt16, get: Int) {
    guard replyID != 0, !table.isEmpty, table[Int(replyID)].replyID == 0 else { return }
    table[Int(replyID)] = Entry(replyID: replyID, get: UInt32(truncatingIfNeeded: get))
    count &+= 1
  }

  @inline(__always)
  package mutating func remove(_ replyID: UInt16) {
    guard get(replyID) != nil else { return }
    table[Int(replyID)] = Entry()
    count &-= 1
    if count == 0, table.count > ReplyIDs.keptSize { table = Block() }
  }

  private mutating func grow() {
    guard table.count < ReplyIDs.maxSize else { return }
    let size = max(ReplyIDs.leastSize, table.count * 2)
    var entries = Block(repeating: Entry(), count: size)
    swap(&entries, &table)
    for place in 0..<entries.count where entries[place].replyID != 0 {
      table[Int(entries[place].replyID)] = entries[place]
    }
  }
}
