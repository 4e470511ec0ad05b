import MsgBox
import Testing

@Suite("How a UDP socket is read")
struct ArrivalsTests {
  @Test("One is expected after eight in a row, and each eighteenth time more is asked for")
  func expectation() {
    var arrivals = Arrivals()
    let expected = (0..<50).map { _ in
      let expects = arrivals.expectsOne
      arrivals.came(isOne: true)
      return expects
    }
    let ones = [Bool](repeating: true, count: 17)
    #expect(
      expected == [Bool](repeating: false, count: 8) + ones + [false] + ones + [false]
        + [Bool](repeating: true, count: 6))
    arrivals.came(isOne: false)
    #expect(!arrivals.expectsOne)
  }
}
