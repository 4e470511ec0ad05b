/// A record that leaves its slot when nothing lives there any more.
package protocol Vacant: ~Copyable {
  static func vacant() -> Self

  /// Gives up what the record holds. One of plain values may stay as it is.
  mutating func vacate()
}

extension Vacant where Self: ~Copyable {
  package mutating func vacate() { self = .vacant() }
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
  /// The last one to be freed is the first to be used again, while it is in the cache.
  private var free = FIFO<UInt32>()
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
  @inline(__always)
  package mutating func insert(_ record: consuming Record) -> Int? {
    guard let last = free.popLast() else { return insertIntoNew(record) }
    occupy(Int(last), record)
    return Int(last)
  }

  @inline(never)
  private mutating func insertIntoNew(_ record: consuming Record) -> Int? {
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

  /// Whether so many more records find a slot, of which none is reserved.
  @inline(__always)
  package func hasRoom(for more: Int) -> Bool { count &+ more <= maxSlots }

  /// A slot for a record that may come, and the generation that it would have. `occupy` or `retire`
  /// follows; until then, who has it may give any number of later generations to what does not come.
  /// Nil when all are taken.
  package mutating func reserve() -> (slot: Int, generation: UInt32)? {
    if let last = free.popLast() { return (Int(last), generation(Int(last))) }
    if entries.count < maxSlots {
      entries.append(Slot(record: .vacant(), generation: 1))
      return (entries.count - 1, 1)
    }
    guard let oldest = retired.popFirst() else { return nil }
    return (Int(oldest), 1)
  }

  /// Gives up a reserved slot whose generations are used up.
  package mutating func retire(_ slot: Int) {
    retired.append(UInt32(truncatingIfNeeded: slot))
  }

  /// Puts a record of that generation into a reserved slot.
  package mutating func occupy(_ slot: Int, generation: UInt32, _ record: consuming Record) {
    entries[slot].generation = generation
    occupy(slot, record)
  }

  @inline(__always)
  private mutating func occupy(_ slot: Int, _ record: consuming Record) {
    let entry = unsafe entries.address(slot)
    unsafe entry.pointee.record = record
    unsafe entry.pointee.generation |= Self.liveBit
    count &+= 1
  }

  /// Frees a slot. One whose generations are used up rests until those of all others are.
  @inline(__always)
  package mutating func remove(_ slot: Int) {
    guard isLive(slot) else { return }
    let entry = unsafe entries.address(slot)
    unsafe entry.pointee.record.vacate()
    let next = unsafe (entry.pointee.generation & ~Self.liveBit) &+ 1
    unsafe entry.pointee.generation = next
    count &-= 1
    let number = UInt32(truncatingIfNeeded: slot)
    if next < maxGeneration { free.append(number) } else { retired.append(number) }
  }

  @inline(__always)
  package func contains(_ slot: Int, generation: UInt32) -> Bool {
    slot >= 0 && slot < entries.count && entries[slot].generation == generation | Self.liveBit
  }

  @inline(__always)
  package func generation(_ slot: Int) -> UInt32 { entries[slot].generation & ~Self.liveBit }

  /// Slots that are or were in use: every live one is below.
  package var slots: Range<Int> { 0..<entries.count }

  @inline(__always)
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
