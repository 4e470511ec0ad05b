/// What a slot holds while nothing lives in it.
package protocol Vacant: ~Copyable {
  static func vacant() -> Self
}

/// Records in numbered slots with generations, so that a handle to a record that is gone is told
/// from its successor's.
package struct Slab<Record: Vacant & ~Copyable>: ~Copyable {
  private struct Slot: ~Copyable {
    // First, so that its address is that of the slot.
    var record: Record
    /// Its generation, below `liveBit`, which says whether something lives here.
    var generation: UInt32
  }

  private let inPlace = InPlace()

  private static var liveBit: UInt32 { 1 << 31 }

  private var entries = Pages<Slot>()
  private var free: [UInt32] = []
  /// Slots whose generations are used up, the oldest first. They begin anew when no other slot is
  /// left.
  private var retired = FIFO<UInt32>()
  private let maxSlots: Int
  private let maxGeneration: UInt32
  package private(set) var count = 0

  /// - Parameter maxGeneration: 2..<2^31.
  package init(maxSlots: Int, maxGeneration: UInt32 = Handle.maxGeneration) {
    self.maxSlots = maxSlots
    self.maxGeneration = maxGeneration
  }

  package var hasRoom: Bool { !free.isEmpty || entries.count < maxSlots || !retired.isEmpty }

  /// The slot of a new record; nil when all are taken.
  package mutating func insert(_ record: consuming Record) -> Int? {
    if let last = free.popLast() {
      occupy(Int(last), record)
      return Int(last)
    }
    if entries.count < maxSlots {
      entries.append(Slot(record: record, generation: 1 | Self.liveBit))
      count += 1
      return entries.count - 1
    }
    guard let oldest = retired.popFirst() else { return nil }
    entries[Int(oldest)].generation = 1
    occupy(Int(oldest), record)
    return Int(oldest)
  }

  private mutating func occupy(_ slot: Int, _ record: consuming Record) {
    entries[slot].record = record
    entries[slot].generation |= Self.liveBit
    count += 1
  }

  /// Frees a slot. One whose generations are used up rests until those of all others are.
  package mutating func remove(_ slot: Int) {
    guard isLive(slot) else { return }
    entries[slot].record = .vacant()
    let next = (entries[slot].generation & ~Self.liveBit) + 1
    entries[slot].generation = next
    count -= 1
    if next < maxGeneration {
      free.append(UInt32(slot))
    } else {
      retired.append(UInt32(slot))
    }
  }

  package func contains(_ slot: Int, generation: UInt32) -> Bool {
    slot >= 0 && slot < entries.count && entries[slot].generation == generation | Self.liveBit
  }

  package func generation(_ slot: Int) -> UInt32 { entries[slot].generation & ~Self.liveBit }

  /// Slots that are or were in use: every live one is below.
  package var slots: Range<Int> { 0..<entries.count }

  package func isLive(_ slot: Int) -> Bool {
    slot >= 0 && slot < entries.count && entries[slot].generation & Self.liveBit != 0
  }

  package subscript(slot: Int) -> Record {
    @inline(__always) unsafeAddress { unsafe UnsafePointer(address(slot)) }
    @inline(__always) unsafeMutableAddress { unsafe address(slot) }
  }

  @inline(__always)
  private func address(_ slot: Int) -> UnsafeMutablePointer<Record> {
    unsafe UnsafeMutableRawPointer(entries.address(slot)).assumingMemoryBound(to: Record.self)
  }
}
