/// A point on a monotonic clock, in nanoseconds since an origin that only differences may depend
/// on.
package struct Instant: Hashable, Comparable, BitwiseCopyable, Sendable {
  package var nanoseconds: UInt64

  package init(nanoseconds: UInt64) {
    self.nanoseconds = nanoseconds
  }

  /// Later than everything.
  package static let never = Instant(nanoseconds: .max)

  package static func < (left: Instant, right: Instant) -> Bool {
    left.nanoseconds < right.nanoseconds
  }

  /// The instant `interval` later; the end of time if that cannot be told.
  package static func + (instant: Instant, interval: Interval) -> Instant {
    let (sum, overflow) = instant.nanoseconds.addingReportingOverflow(interval.nanoseconds)
    return Instant(nanoseconds: overflow ? .max : sum)
  }

  /// The time from `earlier` to this instant; zero if `earlier` is later.
  package func since(_ earlier: Instant) -> Interval {
    Interval(
      nanoseconds: nanoseconds > earlier.nanoseconds ? nanoseconds &- earlier.nanoseconds : 0)
  }
}

/// A non-negative length of time in nanoseconds: what `Duration` is outside of the core, in 8
/// bytes.
package struct Interval: Hashable, Comparable, Sendable {
  package var nanoseconds: UInt64

  package init(nanoseconds: UInt64) {
    self.nanoseconds = nanoseconds
  }

  /// `duration` cut to 0...584 years.
  package init(_ duration: Duration) {
    let parts = duration.components
    guard parts.seconds >= 0, parts.attoseconds >= 0 else {
      self.init(nanoseconds: 0)
      return
    }
    let (seconds, overflow) = UInt64(parts.seconds).multipliedReportingOverflow(by: 1_000_000_000)
    let (sum, overflow2) = seconds.addingReportingOverflow(
      UInt64(parts.attoseconds) / 1_000_000_000)
    self.init(nanoseconds: overflow || overflow2 ? .max : sum)
  }

  package static func milliseconds(_ count: UInt64) -> Interval {
    let (product, overflow) = count.multipliedReportingOverflow(by: 1_000_000)
    return Interval(nanoseconds: overflow ? .max : product)
  }

  package static func seconds(_ count: UInt64) -> Interval {
    let (product, overflow) = count.multipliedReportingOverflow(by: 1_000_000_000)
    return Interval(nanoseconds: overflow ? .max : product)
  }

  package static func < (left: Interval, right: Interval) -> Bool {
    left.nanoseconds < right.nanoseconds
  }

  package static func / (interval: Interval, divisor: UInt64) -> Interval {
    Interval(nanoseconds: interval.nanoseconds / max(divisor, 1))
  }

  package static func * (interval: Interval, factor: UInt64) -> Interval {
    let (product, overflow) = interval.nanoseconds.multipliedReportingOverflow(by: factor)
    return Interval(nanoseconds: overflow ? .max : product)
  }

  /// Whole milliseconds, rounded up.
  package var millisecondsRoundedUp: UInt64 {
    nanoseconds / 1_000_000 &+ (nanoseconds % 1_000_000 == 0 ? 0 : 1)
  }

  package var duration: Duration { .nanoseconds(Int64(clamping: nanoseconds)) }
}
