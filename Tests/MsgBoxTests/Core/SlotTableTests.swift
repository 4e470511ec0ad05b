import MsgBox
import Testing

@Suite("Tables of slots")
struct SlotTableTests {
  /// A table, the keys of its slots, and what a dictionary says.
  private final class Model {
    var table = SlotTable()
    var keys: [UInt64] = []
    var slots: [UInt64: Int] = [:]
    var free: [Int] = []
    let hash: (UInt64) -> UInt64

    init(hash: @escaping (UInt64) -> UInt64) {
      self.hash = hash
    }

    func insert(_ key: UInt64) {
      guard slots[key] == nil else { return }
      let slot = free.popLast() ?? keys.count
      if slot == keys.count { keys.append(key) }
      keys[slot] = key
      slots[key] = slot
      let (keys, hash) = (keys, hash)
      table.insert(hash(key), slot: slot) { hash(keys[$0]) }
    }

    func remove(_ key: UInt64) {
      guard let slot = slots.removeValue(forKey: key) else { return }
      let (keys, hash) = (keys, hash)
      table.remove(hash(key), slot: slot) { hash(keys[$0]) }
      free.append(slot)
    }

    func find(_ key: UInt64) -> Int? { table.slot(hash(key)) { keys[$0] == key } }

    /// Whether the table and the dictionary agree about a key.
    func agrees(_ key: UInt64) -> Bool { find(key) == slots[key] && table.count == slots.count }
  }

  /// Hashes from good to such that all have one home, or one tag, or both.
  private static let hashes: [@Sendable (UInt64) -> UInt64] = [
    { KeyedHash(key: 7).adding($0).value },
    { $0 },
    { $0 << 32 },
    { $0 & 3 },
    { _ in 0xffff_ffff_ffff_ffff },
  ]

  @Test("Finds what a dictionary finds, in any order of coming and going", arguments: 0..<5)
  func model(hash: Int) throws {
    var dice = SeededRandom(seed: UInt64(hash))
    let model = Model(hash: Self.hashes[hash])
    // Few enough that the worst hash, one long chain, is soon done.
    let range = hash < 3 ? 3000 : 200
    for step in 0..<20_000 {
      let key = UInt64(dice.below(range))
      // Grows, then shrinks, then again.
      if dice.chance(step % 8000 < 4000 ? 700 : 300) {
        model.insert(key)
      } else {
        model.remove(key)
      }
      try #require(model.agrees(key))
      try #require(model.agrees(UInt64(dice.below(range))))
    }
    for key in 0..<UInt64(range) { try #require(model.agrees(key)) }
    for key in 0..<UInt64(range) { model.remove(key) }
    for key in 0..<UInt64(range) { try #require(model.agrees(key)) }
  }

  @Test("Holds as many as there are slots, four of five cells taken")
  func large() {
    let model = Model { KeyedHash(key: 3).adding($0).value }
    var table = SlotTable()
    let hash = model.hash
    for slot in 0..<200_000 { table.insert(hash(UInt64(slot)), slot: slot) { hash(UInt64($0)) } }
    var found = 0
    for slot in 0..<200_000 where table.slot(hash(UInt64(slot)), where: { $0 == slot }) == slot {
      found += 1
    }
    #expect(found == 200_000)
    let stranger = table.slot(hash(1 << 40)) { _ in false }
    #expect(stranger == nil)
  }

  @Test("Keys that differ little fall all over the table, differently under another key")
  func keyedHash() {
    for key in [UInt64(0), 1, 0xdead_beef_0bad_cafe] {
      var taken = [Int](repeating: 0, count: 1024)
      for word in 0..<UInt64(8192) {
        taken[Int(KeyedHash(key: key).adding(word << 20).value & 1023)] += 1
      }
      #expect(taken.max().map { $0 < 32 } == true)
      #expect(taken.min().map { $0 > 0 } == true)
    }
    let pairs = (0..<UInt64(4096)).filter {
      KeyedHash(key: 1).adding($0).value & 63 == KeyedHash(key: 2).adding($0).value & 63
    }
    #expect((20...140).contains(pairs.count))
  }
}
