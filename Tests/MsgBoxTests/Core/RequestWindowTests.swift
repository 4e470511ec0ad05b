import MsgBox
import Testing

/// A window that expressions of tests can refer to.
private final class Window {
  private var window = RequestWindow()

  init() {}

  init(startingWith id: UInt32, at now: Instant) {
    window = RequestWindow(startingWith: id, at: now)
  }

  var size: Int { window.size }
  var heldBytes: Int { window.heldBytes }

  func contains(_ id: UInt32) -> Bool { window.contains(id) }

  func insert(_ id: UInt32, at now: Instant) -> Bool { window.insert(id, at: now) }
}

@Suite("The window of request ids")
struct RequestWindowTests {
  private let start = Instant(nanoseconds: 0)

  @Test("Each id is new once, in any order, also across the wrap", arguments: [0, UInt32.max - 99])
  func once(first: UInt32) {
    let window = Window()
    var random = SeededRandom(seed: 1)
    var ids = (UInt32(0)..<1000).map { first &+ $0 }
    for index in ids.indices { ids.swapAt(index, random.below(ids.count)) }
    for id in ids {
      #expect(!window.contains(id))
      #expect(window.insert(id, at: start) == true)
      #expect(window.contains(id) && !window.insert(id, at: start))
    }
    #expect(ids.allSatisfy { window.contains($0) })
    #expect(window.size == 1024 && window.heldBytes == 128)
  }

  @Test("What is older than the window counts as received, what is just inside it does not")
  func edge() {
    let window = Window()
    #expect(window.size == 0 && window.insert(5000, at: start))
    #expect(!window.contains(5000 - 1023) && window.contains(5000 - 1024))
    #expect(!window.insert(5000 - 1024, at: start) && window.insert(5000 - 1023, at: start))
    #expect(window.contains(5000 &+ 1 << 31), "half the circle away is not newer")
    #expect(!window.contains(4999 &+ 1 << 31))
  }

  @Test("It stays small while ids come slowly, and is doubled while young ones would leave it")
  func growth() {
    let slow = Window()
    for id in UInt32(0)..<100_000 {
      _ = slow.insert(id, at: start + .milliseconds(UInt64(id) * 14))
    }
    #expect(slow.size == 1024)
    let fast = Window()
    for id in UInt32(0)..<100_000 where id != 7 {
      _ = fast.insert(id, at: start + .milliseconds(UInt64(id) / 20))
    }
    #expect(fast.size == 131_072)
    #expect(fast.contains(6) && !fast.contains(7) && fast.contains(8))
    #expect(fast.insert(7, at: start + .seconds(6)) == true)
  }

  @Test("It ends at 1 048 576 ids")
  func largest() {
    let window = Window()
    for id in UInt32(0)...1_048_576 where id != 1 { _ = window.insert(id, at: start) }
    #expect(window.size == 1_048_576 && window.heldBytes == 131_072)
    #expect(window.contains(0) && !window.contains(1) && window.contains(2))
    #expect(window.insert(1_048_577, at: start) == true)
    #expect(window.contains(1) && !window.insert(1, at: start))
  }

  @Test("A jump forgets what it passes and costs no memory beyond the largest window")
  func jumps() {
    let window = Window()
    var id: UInt32 = 7
    #expect(window.insert(7, at: start) == true)
    for jump: UInt32 in [1, 1023, 1024, 5000, 1 << 20 - 1, 1 << 20, 1 << 31 - 1, 64, 1 << 30] {
      id &+= jump
      #expect(window.insert(id, at: start) && window.contains(id))
      #expect(!window.contains(id &- 1) || jump == 1)
      #expect(window.insert(id &- 1, at: start) == (jump != 1))
      #expect(window.heldBytes <= 131_072)
    }
  }

  /// What must hold whatever the size: no id is new twice, and one that was passed less than 10 s
  /// ago is not called old.
  private struct Model {
    var seen: Set<Int> = []
    /// The largest id, by time.
    var history: [(at: UInt64, newest: Int)] = []

    func mustBeNew(_ id: Int, at now: UInt64) -> Bool {
      guard let newest = history.last?.newest else { return true }
      if seen.contains(id) || newest - id >= 1_048_576 { return false }
      if newest - id < 1024 { return true }
      let before = history.last { $0.at + 10_000 <= now }
      return before.map { id > $0.newest } ?? (id > history[0].newest)
    }
  }

  @Test("Random ids at random speeds: none is new twice, none that is young is called old")
  func model() {
    for seed in UInt64(0)..<8 {
      var random = SeededRandom(seed: seed)
      let window = Window()
      var model = Model()
      var now: UInt64 = 0
      var newest = 1 << 32 - 3000
      var pace = 1
      for step in 0..<6000 {
        if step % 500 == 0 { pace = [0, 1, 20, 200][random.below(4)] }
        now += UInt64(random.below(pace + 1))
        var id = newest + 1 + random.below(random.chance(20) ? 3000 : 20)
        if random.chance(500) { id = newest - random.below(random.chance(300) ? 20000 : 300) }
        let low = UInt32(truncatingIfNeeded: id)
        let mustBeNew = model.mustBeNew(id, at: now)
        let isKnown = window.contains(low)
        let isNew = window.insert(low, at: start + .milliseconds(now))
        #expect(isKnown == !isNew)
        #expect(!isNew || !model.seen.contains(id), "\(id) was new twice")
        #expect(isNew || !mustBeNew, "\(id) is young and was refused")
        if isNew { model.seen.insert(id) }
        newest = max(newest, id)
        model.history.append((now, newest))
      }
      #expect(window.heldBytes <= 131_072)
    }
  }

  @Test("A million ids of any kind keep to the largest window")
  func hostile() {
    var random = SeededRandom(seed: 5)
    let window = Window()
    var id: UInt32 = 0
    for step in 0..<1_000_000 {
      let isFar = step % 1000 == 0
      id &+= UInt32(truncatingIfNeeded: random.word() >> (isFar ? 33 : 60))
      _ = window.insert(id &- UInt32(random.below(64)), at: start)
    }
    #expect(window.heldBytes <= 131_072)
  }

  @Test("A far jump in the largest window costs little more than one in the smallest")
  func cost() {
    /// How long it takes to jump so far many times, and the size of the window then.
    func time(_ jump: UInt32) -> (Duration, Int) {
      let window = Window()
      var id: UInt32 = 7
      _ = window.insert(id, at: start)
      let took = ContinuousClock().measure {
        for _ in 0..<2000 {
          id &+= jump
          _ = window.insert(id, at: start + .seconds(UInt64(id)))
        }
      }
      return (took, window.size)
    }
    let (short, small) = time(200)
    let (long, large) = time(1 << 20 - 1)
    #expect(small == 1024 && large == 1_048_576)
    #expect(long < short * 2000)
  }

  @Test(
    "The first id to arrive may be any: not far before it all are new", arguments: [3, 9_000_000])
  func beginning(first: UInt32) {
    let window = Window(startingWith: first, at: start)
    #expect(window.insert(first, at: start) && window.heldBytes <= 8192)
    let reach = min(first, 65535)
    for back in 1...reach { #expect(window.insert(first - back, at: start) == true) }
    #expect(window.contains(first - reach))
  }
}
