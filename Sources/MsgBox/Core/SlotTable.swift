/// Slots of a slab by the hash of their records' keys: open addressing with linear probing, one
/// cell of 4 bytes for each place, at most 4 of 5 taken.
///
/// A cell holds the slot and 12 bits of the hash, so that records are looked at that almost always
/// are the right ones; their keys are not kept here. Whoever chooses the keys must not know how
/// they are hashed: at random, or by a `KeyedHash`.
@safe package struct SlotTable: ~Copyable {
  private static var slotBits: UInt32 { 20 }
  private static var slotMask: UInt32 { 1 << slotBits - 1 }
  /// A cell with no slot. Tags are never 0.
  private static var empty: UInt32 { 0 }

  private var cells: UnsafeMutablePointer<UInt32>?
  /// Number of cells, a power of two; 0 while there is no memory.
  private var size = 0
  package private(set) var count = 0

  package init() { unsafe cells = nil }

  deinit { unsafe cells?.deallocate() }

  /// The slot with that hash that `isMeant`.
  @inline(__always)
  package func slot(_ hash: UInt64, where isMeant: (Int) -> Bool) -> Int? {
    guard let cells = unsafe cells else { return nil }
    let tag = Self.tag(hash)
    var place = Int(truncatingIfNeeded: hash) & mask
    while true {
      let cell = unsafe cells[place]
      guard cell != Self.empty else { return nil }
      if cell & ~Self.slotMask == tag {
        let slot = Int(cell & Self.slotMask)
        if isMeant(slot) { return slot }
      }
      place = (place &+ 1) & mask
    }
  }

  /// - Parameters:
  ///   - slot: 0..<2^20, not yet in the table.
  ///   - hashOf: the hash of a slot that is in the table.
  package mutating func insert(_ hash: UInt64, slot: Int, hashOf: (Int) -> UInt64) {
    if count * 5 >= size * 4 { grow(hashOf) }
    put(Self.tag(hash) | UInt32(truncatingIfNeeded: slot) & Self.slotMask, hash)
    count += 1
  }

  /// Takes a slot out, if it is there, and moves those back that had to make way for it.
  package mutating func remove(_ hash: UInt64, slot: Int, hashOf: (Int) -> UInt64) {
    guard let cells = unsafe cells else { return }
    let wanted = Self.tag(hash) | UInt32(truncatingIfNeeded: slot) & Self.slotMask
    var hole = Int(truncatingIfNeeded: hash) & mask
    while unsafe cells[hole] != wanted {
      guard unsafe cells[hole] != Self.empty else { return }
      hole = (hole &+ 1) & mask
    }
    var place = (hole &+ 1) & mask
    while unsafe cells[place] != Self.empty {
      let home = Int(truncatingIfNeeded: unsafe hashOf(Int(cells[place] & Self.slotMask))) & mask
      // It may lie in the hole unless its home is behind that.
      if (place &- home) & mask >= (place &- hole) & mask {
        unsafe cells[hole] = unsafe cells[place]
        hole = place
      }
      place = (place &+ 1) & mask
    }
    unsafe cells[hole] = Self.empty
    count -= 1
  }

  private var mask: Int { size &- 1 }

  private static func tag(_ hash: UInt64) -> UInt32 {
    max(UInt32(truncatingIfNeeded: hash >> 32) & 0xfff, 1) << slotBits
  }

  private mutating func put(_ cell: UInt32, _ hash: UInt64) {
    guard let cells = unsafe cells else { return }
    var place = Int(truncatingIfNeeded: hash) & mask
    while unsafe cells[place] != Self.empty { place = (place &+ 1) & mask }
    unsafe cells[place] = cell
  }

  @inline(never)
  private mutating func grow(_ hashOf: (Int) -> UInt64) {
    let old = unsafe cells
    let oldSize = size
    size = max(16, oldSize * 2)
    unsafe cells = .allocate(capacity: size)
    unsafe cells?.initialize(repeating: Self.empty, count: size)
    guard let old = unsafe old else { return }
    for place in 0..<oldSize {
      let cell = unsafe old[place]
      if cell != Self.empty { put(cell, hashOf(Int(cell & Self.slotMask))) }
    }
    unsafe old.deallocate()
  }
}

extension SlotTable {
  /// Adds a record of a slab, by the hash of its key.
  @inline(__always)
  mutating func insert<Record: Vacant & ~Copyable>(
    _ slot: Int, of records: borrowing Slab<Record>,
    hashOf: (borrowing Slab<Record>, Int) -> UInt64
  ) {
    insert(hashOf(records, slot), slot: slot) { hashOf(records, $0) }
  }

  /// Takes a record of a slab out, by the hash of its key.
  @inline(__always)
  mutating func remove<Record: Vacant & ~Copyable>(
    _ slot: Int, of records: borrowing Slab<Record>,
    hashOf: (borrowing Slab<Record>, Int) -> UInt64
  ) {
    remove(hashOf(records, slot), slot: slot) { hashOf(records, $0) }
  }
}

/// A hash under a secret key, for keys that strangers choose: two rounds of folded multiplication
/// for each word. Without the key nobody can tell which keys collide.
package struct KeyedHash {
  private let key: UInt64
  private var state: UInt64

  /// - Parameter key: random, and known to nobody.
  package init(key: UInt64) {
    self.key = key
    state = key ^ 0x9e37_79b9_7f4a_7c15
  }

  /// The hash of what was hashed before and of `word`.
  package func adding(_ word: UInt64) -> KeyedHash {
    var next = self
    next.state = Self.fold(Self.fold(state ^ word, key | 1) ^ key, 0xd6e8_feb8_6659_fd93)
    return next
  }

  /// The same of an address.
  package func adding(_ address: Address) -> KeyedHash {
    adding(address.ip.high).adding(address.ip.low)
      .adding(UInt64(address.scope) << 16 | UInt64(address.port))
  }

  package var value: UInt64 { state }

  private static func fold(_ left: UInt64, _ right: UInt64) -> UInt64 {
    let product = left.multipliedFullWidth(by: right)
    return product.high ^ product.low
  }
}
