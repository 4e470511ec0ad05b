/// What a slot holds while nothing lives in it.
package protocol Vacant {
  static var vacant: Self { get }
}

/// Records in numbered slots with generations, so that a handle to a record that is gone is told
/// from its successor's.
package struct Slab<Record: Vacant> {
  private var records: [Record] = []
  private var generations: [UInt32] = []
  private var isLive: [Bool] = []
  private var free: [UInt32] = []
  /// Slots whose generations are used up, the oldest first. They begin anew when no other slot is
  /// left.
  private var retired = FIFO<UInt32>()
  private let maxSlots: Int
  private let maxGeneration: UInt32
  package private(set) var count = 0

  package init(maxSlots: Int, maxGeneration: UInt32 = Handle.maxGeneration) {
    self.maxSlots = maxSlots
    self.maxGeneration = maxGeneration
  }

  package var hasRoom: Bool { !free.isEmpty || records.count < maxSlots || !retired.isEmpty }

  /// The slot of a new record; nil when all are taken.
  package mutating func insert(_ record: Record) -> Int? {
    guard let slot = takeSlot() else { return nil }
    records[slot] = record
    isLive[slot] = true
    count += 1
    return slot
  }

  private mutating func takeSlot() -> Int? {
    if let last = free.popLast() { return Int(last) }
    if records.count < maxSlots {
      records.append(.vacant)
      generations.append(1)
      isLive.append(false)
      return records.count - 1
    }
    guard let oldest = retired.popFirst() else { return nil }
    generations[Int(oldest)] = 1
    return Int(oldest)
  }

  /// Frees a slot. One whose generations are used up rests until those of all others are.
  package mutating func remove(_ slot: Int) {
    guard slot < records.count, isLive[slot] else { return }
    records[slot] = .vacant
    isLive[slot] = false
    count -= 1
    generations[slot] += 1
    if generations[slot] < maxGeneration {
      free.append(UInt32(slot))
    } else {
      retired.append(UInt32(slot))
    }
  }

  package func contains(_ slot: Int, generation: UInt32) -> Bool {
    slot >= 0 && slot < records.count && isLive[slot] && generations[slot] == generation
  }

  package func generation(_ slot: Int) -> UInt32 { generations[slot] }

  /// Slots that are or were in use: every live one is below.
  package var slots: Range<Int> { 0..<records.count }

  package func isLive(_ slot: Int) -> Bool { isLive[slot] }

  package subscript(slot: Int) -> Record {
    get { records[slot] }
    _modify { yield &records[slot] }
  }
}
