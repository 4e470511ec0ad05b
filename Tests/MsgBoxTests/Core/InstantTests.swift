import MsgBox
import Testing

@Suite("Time")
struct InstantTests {
  @Test("A duration is cut to what an interval can hold")
  func durations() {
    #expect(Interval(Duration.milliseconds(1500)) == .milliseconds(1500))
    #expect(Interval(Duration.seconds(-1)) == Interval(nanoseconds: 0))
    #expect(Interval(Duration.nanoseconds(-1)) == Interval(nanoseconds: 0))
    #expect(Interval(Duration.seconds(1 << 40)) == Interval(nanoseconds: .max))
    #expect(Interval.milliseconds(1500).duration == .milliseconds(1500))
    #expect(Interval(nanoseconds: .max).duration == .nanoseconds(Int64.max))
  }

  @Test("Sums, products and differences stop at their ends instead of wrapping")
  func limits() {
    let late = Instant(nanoseconds: .max - 1)
    #expect(late + .seconds(1) == Instant(nanoseconds: .max))
    #expect(Instant(nanoseconds: 1).since(late) == Interval(nanoseconds: 0))
    #expect(late.since(Instant(nanoseconds: 1)) == Interval(nanoseconds: .max - 2))
    #expect(Interval.seconds(.max) == Interval(nanoseconds: .max))
    #expect(Interval.milliseconds(.max) == Interval(nanoseconds: .max))
    #expect(Interval.seconds(10) * .max == Interval(nanoseconds: .max))
    #expect(Interval.seconds(10) / 0 == .seconds(10))
  }

  @Test("Milliseconds are rounded up")
  func rounding() {
    #expect(Interval(nanoseconds: 0).millisecondsRoundedUp == 0)
    #expect(Interval(nanoseconds: 1).millisecondsRoundedUp == 1)
    #expect(Interval.milliseconds(7).millisecondsRoundedUp == 7)
    #expect(Interval(nanoseconds: .max).millisecondsRoundedUp == UInt64.max / 1_000_000 + 1)
  }
}
