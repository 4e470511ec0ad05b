/// The reply ids in use at one connection, each with the slot of the get that waits under it.
///
/// Ids are given out nearly in order, so the lower bits of an id are its place in a table. An id
/// whose place is taken is passed over, and the table grows when three quarters of it are taken; at
/// its largest it has a place for each id.
package struct ReplyIDs {
  private struct Entry {
    /// 0, which is nobody's, in a place that is free.
    var replyID: UInt16 = 0
    var get: UInt32 = 0
  }

  private static let leastSize = 16
  private static let maxSize = 65_536
  /// A larger table is given back when nobody waits.
  private static let keptSize = 1024

  private var table: [Entry] = []
  /// Ids in use.
  package private(set) var count = 0

  package init() {}

  /// The slot of the get that waits under an id.
  package func get(_ replyID: UInt16) -> Int? {
    guard replyID != 0, !table.isEmpty else { return nil }
    let entry = table[place(replyID)]
    return entry.replyID == replyID ? Int(entry.get) : nil
  }

  /// The next id behind `last` that is neither 0 nor in use; nil if there is none.
  package mutating func next(after last: UInt16) -> UInt16? {
    let replyID = last == .max ? 1 : last + 1
    // Those who ask and are answered in order come here only.
    if (count + 1) * 4 <= table.count * 3, table[place(replyID)].replyID == 0 { return replyID }
    return next(after: last, reserved: [])
  }

  /// The next id behind `last` that is neither 0, nor in use, nor `reserved`; nil if there is none.
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
      guard table[place(replyID)].replyID == 0 else { continue }
      if reserved.isEmpty || !reserved.contains(replyID) { return replyID }
    }
    return nil
  }

  /// Notes an id that `next` gave.
  package mutating func add(_ replyID: UInt16, get: Int) {
    guard replyID != 0, !table.isEmpty, table[place(replyID)].replyID == 0 else { return }
    table[place(replyID)] = Entry(replyID: replyID, get: UInt32(truncatingIfNeeded: get))
    count += 1
  }

  package mutating func remove(_ replyID: UInt16) {
    guard get(replyID) != nil else { return }
    table[place(replyID)] = Entry()
    count -= 1
    if count == 0, table.count > ReplyIDs.keptSize { table = [] }
  }

  private func place(_ replyID: UInt16) -> Int { Int(replyID) & (table.count - 1) }

  private mutating func grow() {
    guard table.count < ReplyIDs.maxSize else { return }
    let entries = table
    table = Array(repeating: Entry(), count: max(ReplyIDs.leastSize, entries.count * 2))
    for entry in entries where entry.replyID != 0 { table[place(entry.replyID)] = entry }
  }
}
