import MsgBox
import Testing

@Suite("Queues and pages")
struct QueueTests {
  /// Tells how many of its kind live.
  private final class Witness {
    final class Tally { var living = 0 }

    let tally: Tally
    let number: Int

    init(_ number: Int, _ tally: Tally) {
      self.number = number
      self.tally = tally
      tally.living += 1
    }

    deinit { tally.living -= 1 }
  }

  @Test("A queue does what an array does, and frees what it holds", arguments: 1...3)
  func queue(seed: Int) throws {
    let tally = Witness.Tally()
    var dice = SeededRandom(seed: UInt64(seed))
    do {
      var queue = FIFO<Witness>()
      var model: [Int] = []
      for step in 0..<5000 {
        switch dice.below(10) {
        case 0..<(step % 2000 < 1000 ? 6 : 3):
          queue.append(Witness(step, tally))
          model.append(step)
        case 6:
          queue.dropFirst()
          model = Array(model.dropFirst())
        case 7:
          let place = dice.below(model.count + 1)
          queue[place] = Witness(-step, tally)
          if place < model.count { model[place] = -step }
        case 8:
          queue.shrink(to: 8)
        default:
          let first = queue.popFirst()?.number
          try #require(first == model.first)
          model = Array(model.dropFirst())
        }
        let (count, first) = (queue.count, queue.first?.number)
        let place = dice.below(model.count + 1)
        let some = queue[place]?.number
        let seen = queue.withFirst { $0.number }
        try #require(count == model.count && first == model.first && seen == first)
        try #require(some == (place < model.count ? model[place] : nil))
        try #require(tally.living == model.count)
      }
    }
    #expect(tally.living == 0)
  }

  @Test("Pages keep what was put in while they grow, and free it at their end")
  func pages() {
    let tally = Witness.Tally()
    do {
      var pages = Pages<Witness>()
      for number in 0..<1000 {
        pages.append(Witness(number, tally))
        pages[number / 2] = Witness(number / 2, tally)
      }
      var right = 0
      for index in pages.indices where pages[index].number == index { right += 1 }
      #expect(right == 1000)
      #expect(tally.living == 1000)
    }
    #expect(tally.living == 0)
  }
}
