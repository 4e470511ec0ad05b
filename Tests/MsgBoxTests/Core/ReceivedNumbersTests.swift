import MsgBox
import Testing

@Suite("Numbers of datagrams that were received")
struct ReceivedNumbersTests {
  private let start = Instant(nanoseconds: 1_000_000_000)

  /// The ranges of an ack taken at `now`, which is `start` unless said.
  private func ranges(
    _ numbers: inout ReceivedNumbers, at now: Instant? = nil
  ) -> [ClosedRange<UInt32>] {
    var ranges: [(first: UInt32, last: UInt32)] = []
    _ = numbers.takeAck(at: now ?? start, into: &ranges)
    return ranges.map { $0.first...$0.last }
  }

  @Test("Before the first number there is nothing to acknowledge")
  func empty() {
    var numbers = ReceivedNumbers()
    var ranges: [(first: UInt32, last: UInt32)] = [(1, 2)]
    #expect(!numbers.owesAck && numbers.largest == nil && !numbers.contains(0))
    #expect(numbers.takeAck(at: start, into: &ranges) == nil)
    #expect(ranges.isEmpty)
  }

  @Test("An ack has the largest number, its delay and the ranges, and nothing is owed after it")
  func ack() throws {
    var numbers = ReceivedNumbers()
    for number in [UInt32](0...4) + [7, 9, 8, 20] {
      #expect(!numbers.contains(number))
      #expect(numbers.insert(number, at: start) == true)
      #expect(numbers.contains(number))
      #expect(numbers.insert(number, at: start + .seconds(9)) == false)
    }
    #expect(numbers.insert(19, at: start + .seconds(1)) == true)
    #expect(numbers.owesAck && numbers.unacknowledged == 10 && numbers.largestAt == start)
    var ranges: [(first: UInt32, last: UInt32)] = []
    let ack = try #require(numbers.takeAck(at: start + .milliseconds(1500), into: &ranges))
    #expect(ack.largest == 20 && ack.delay == .milliseconds(1500))
    #expect(ranges.map(\.first) == [19, 7, 0] && ranges.map(\.last) == [20, 9, 4])
    #expect(!numbers.owesAck && numbers.unacknowledged == 0)
  }

  @Test("A number that is missing between two ranges joins them")
  func joins() {
    var numbers = ReceivedNumbers()
    for number: UInt32 in [0, 2, 4] { #expect(numbers.insert(number, at: start) == true) }
    #expect(ranges(&numbers) == [4...4, 2...2, 0...0])
    #expect(numbers.insert(3, at: start) == true)
    #expect(ranges(&numbers) == [2...4, 0...0])
    #expect(numbers.insert(1, at: start) == true)
    #expect(ranges(&numbers) == [0...4])
  }

  @Test("Numbers wrap; what would lie before the first one of all counts as received")
  func wrap() {
    var numbers = ReceivedNumbers()
    #expect(numbers.insert(3, at: start) == true)
    #expect(numbers.contains(.max) && !numbers.insert(.max, at: start))
    #expect(numbers.insert(1 << 31, at: start) && numbers.insert(.max - 1, at: start))
    #expect(numbers.insert(1, at: start) && numbers.largest == 1)
    #expect(numbers.insert(.max, at: start) && numbers.insert(0, at: start))
    #expect(!numbers.insert(.max, at: start) && !numbers.contains(3))
    var ranges: [(first: UInt32, last: UInt32)] = []
    _ = numbers.takeAck(at: start, into: &ranges)
    #expect(ranges.map(\.first) == [.max - 1] && ranges.map(\.last) == [1])
  }

  @Test("The 256 newest ranges are kept; what lies below them counts as received")
  func bound() {
    var numbers = ReceivedNumbers()
    for index in UInt32(1)...256 { #expect(numbers.insert(index * 4, at: start) == true) }
    #expect(numbers.rangeCount == 256 && ranges(&numbers).count == 256)
    #expect(numbers.contains(0) && numbers.contains(2) && !numbers.insert(2, at: start))
    #expect(!numbers.contains(3) && numbers.insert(3, at: start))
    #expect(!numbers.contains(5))
    #expect(numbers.insert(257 * 4, at: start) == true)
    #expect(numbers.rangeCount == 256 && ranges(&numbers).last == 8...8)
    #expect(numbers.contains(4) && !numbers.insert(4, at: start))
    #expect(!numbers.insert(5, at: start) && numbers.insert(7, at: start))
  }

  @Test("A range that did not grow for 32 acks is left out, and is back when it grows")
  func tellings() {
    var numbers = ReceivedNumbers()
    for number: UInt32 in [0, 5, 10] { _ = numbers.insert(number, at: start) }
    for _ in 0..<32 { #expect(ranges(&numbers) == [10...10, 5...5, 0...0]) }
    #expect(ranges(&numbers) == [10...10])
    #expect(numbers.insert(6, at: start) == true)
    #expect(ranges(&numbers) == [10...10, 5...6])
    #expect(numbers.insert(11, at: start) == true)
    #expect(ranges(&numbers) == [10...11, 5...6])
    #expect(numbers.insert(0, at: start) == false)
  }

  @Test("A range longer than an ack can tell is told by its newer end")
  func longRange() {
    var numbers = ReceivedNumbers()
    for number in UInt32(0)...65535 { _ = numbers.insert(number, at: start) }
    #expect(ranges(&numbers) == [0...65535])
    _ = numbers.insert(65536, at: start)
    #expect(ranges(&numbers) == [1...65536])
  }

  /// The same by a set of all numbers and a fresh search for its ranges.
  private struct Model {
    var received: Set<UInt64> = []
    var floor: UInt64 = 0

    var ranges: [ClosedRange<UInt64>] {
      var ranges: [ClosedRange<UInt64>] = []
      for number in received.sorted() {
        if let last = ranges.last, last.upperBound + 1 == number {
          ranges[ranges.count - 1] = last.lowerBound...number
        } else {
          ranges.append(number...number)
        }
      }
      return ranges
    }

    mutating func insert(_ number: UInt64) -> Bool {
      if number < floor || received.contains(number) { return false }
      let ranges = ranges
      if let oldest = ranges.first, number + 1 < oldest.lowerBound, ranges.count == 256 {
        return false
      }
      received.insert(number)
      let later = self.ranges
      if later.count > 256 {
        floor = later[0].upperBound + 1
        received.subtract(later[0])
      }
      return true
    }
  }

  @Test("Random numbers with copies, also across the wrap and beyond the bound, as a model has it")
  func model() {
    for seed in UInt64(0)..<2 {
      var random = SeededRandom(seed: seed)
      let base: UInt64 = seed % 2 == 0 ? 0 : 1 << 32 - 900
      var numbers = ReceivedNumbers()
      var model = Model()
      var named: Set<UInt32> = []
      _ = numbers.insert(UInt32(truncatingIfNeeded: base), at: start)
      _ = model.insert(base)
      for step in 0..<2500 {
        let number = base + UInt64(random.below(min(1800, 20 + step)))
        let low = UInt32(truncatingIfNeeded: number)
        let isKnown = numbers.contains(low)
        let isNew = model.insert(number)
        #expect(numbers.insert(low, at: start) == isNew && isKnown == !isNew)
        guard step % 16 == 15 else { continue }
        var ranges: [(first: UInt32, last: UInt32)] = []
        _ = numbers.takeAck(at: start, into: &ranges)
        for range in ranges {
          for offset in 0...(range.last &- range.first) { named.insert(range.first &+ offset) }
        }
        let known = model.received.map { UInt32(truncatingIfNeeded: $0) }
        #expect(numbers.rangeCount == model.ranges.count)
        #expect(known.allSatisfy(named.contains), "an ack has named every number")
      }
      #expect(named.allSatisfy { numbers.contains($0) })
    }
  }

  @Test("A million numbers of any kind keep to the bound, and acks of them make sense")
  func hostile() {
    var random = SeededRandom(seed: 3)
    var numbers = ReceivedNumbers()
    var ranges: [(first: UInt32, last: UInt32)] = []
    for step in 0..<1_000_000 {
      let number = UInt32(truncatingIfNeeded: random.word() >> UInt64(random.below(40)))
      if numbers.insert(number, at: start), step % 1000 == 0 {
        #expect(numbers.contains(number) && numbers.rangeCount <= 256)
        let ack = numbers.takeAck(at: start, into: &ranges)
        #expect(ack?.largest == ranges.first?.last && ranges.count <= 256)
        for (newer, older) in zip(ranges, ranges.dropFirst()) {
          #expect(newer.first &- older.last >= 2 && newer.first &- older.last < 1 << 31)
          #expect(older.last &- older.first <= 65535)
        }
      }
    }
    #expect(numbers.rangeCount <= 256)
  }
}
