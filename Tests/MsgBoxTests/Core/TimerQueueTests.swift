import MsgBox
import Testing

@Suite("Timers")
struct TimerQueueTests {
  /// What a plain list would do.
  private struct Model {
    struct Timer {
      var deadline: Instant
      var sequence: Int
      var index: Int
      var id: TimerID
    }

    var timers: [Timer] = []
    var scheduled = 0

    /// The place of the timer that fires first.
    var first: Int? {
      timers.indices.min {
        (timers[$0].deadline, timers[$0].sequence) < (timers[$1].deadline, timers[$1].sequence)
      }
    }
  }

  /// From a nanosecond to centuries, often the same again.
  private static func interval(_ dice: inout SeededRandom) -> Interval {
    let bits = UInt64(dice.below(62))
    let scale: UInt64 = 1 << bits
    return Interval(nanoseconds: dice.chance(300) ? scale : scale &+ UInt64(dice.below(1 << 30)))
  }

  @Test("Fires in the order of deadlines, never early, as a sorted list does", arguments: 1...4)
  func model(seed: Int) throws {
    var dice = SeededRandom(seed: UInt64(seed))
    var queue = TimerQueue()
    var model = Model()
    var now = Instant(nanoseconds: 0)
    for _ in 0..<4000 {
      if dice.chance(550) {
        let deadline = now + Self.interval(&dice)
        let id = queue.schedule(.get, model.scheduled, at: deadline)
        model.timers.append(
          .init(deadline: deadline, sequence: model.scheduled, index: model.scheduled, id: id))
        model.scheduled += 1
      } else if dice.chance(400), !model.timers.isEmpty {
        var id = model.timers.remove(at: dice.below(model.timers.count)).id
        queue.cancel(&id)
        try #require(id == .none)
      } else {
        now = next(&dice, now, queue.nextDeadline)
        try drain(&queue, &model, now)
      }
      let count = queue.count
      try #require(count == model.timers.count)
      let deadline = queue.nextDeadline
      let earliest = model.first.map { model.timers[$0].deadline }
      try #require(deadline == nil ? earliest == nil : earliest.map { deadline! <= $0 } == true)
    }
    try drain(&queue, &model, .never)
    #expect(model.timers.isEmpty)
  }

  private func next(_ dice: inout SeededRandom, _ now: Instant, _ deadline: Instant?) -> Instant {
    guard let deadline, dice.chance(700) else {
      return now + .microseconds(UInt64(dice.below(100_000)))
    }
    return max(now, dice.chance(200) ? Instant(nanoseconds: deadline.nanoseconds - 1) : deadline)
  }

  private func drain(_ queue: inout TimerQueue, _ model: inout Model, _ now: Instant) throws {
    while let fired = queue.popDue(at: now) {
      let first = try #require(model.first)
      let expected = model.timers.remove(at: first)
      try #require(fired.index == expected.index)
      try #require(expected.deadline <= now)
    }
    let left = model.first.map { model.timers[$0].deadline }
    try #require(left.map { $0 > now } ?? true)
  }

  @Test("The next deadline is exact to the nanosecond; a cancelled one wakes at most once")
  func nextDeadline() {
    var queue = TimerQueue()
    let start = Instant(nanoseconds: 5_000_000_000)
    #expect(queue.nextDeadline == nil)
    var first = queue.schedule(.get, 1, at: start + .milliseconds(3_000))
    _ = queue.schedule(.get, 2, at: start + .milliseconds(3_001))
    var deadline = queue.nextDeadline
    #expect(deadline == start + .milliseconds(3_000))
    queue.cancel(&first)
    deadline = queue.nextDeadline
    #expect(deadline.map { $0 <= start + .milliseconds(3_001) } == true)
    var fired = queue.popDue(at: deadline ?? .never)?.index
    if fired == nil {
      deadline = queue.nextDeadline
      #expect(deadline == start + .milliseconds(3_001))
      fired = queue.popDue(at: start + .milliseconds(3_001))?.index
    }
    #expect(fired == 2)
    #expect(queue.popDue(at: .never) == nil)
  }

  @Test("A hundred thousand timers at one instant fire in the order of their scheduling")
  func sameDeadline() {
    var queue = TimerQueue()
    let deadline = Instant(nanoseconds: 123_456_789_012)
    for index in 0..<100_000 { _ = queue.schedule(.get, index, at: deadline) }
    #expect(queue.popDue(at: Instant(nanoseconds: deadline.nanoseconds - 1)) == nil)
    var count = 0
    while let fired = queue.popDue(at: deadline), fired.index == count { count += 1 }
    #expect(count == 100_000)
  }
}
