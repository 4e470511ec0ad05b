/// What is known about the time to the peer and back: RFC 9002, section 5.
///
/// A sample is cut to one minute, so that no sum of these values can overflow.
package struct RoundTrip: Equatable, Sendable {
  /// What is supposed until there is a sample: RFC 9002, section 6.2.2.
  package static let initial = Interval.milliseconds(333)
  /// The longest that a peer may hold an acknowledgement back: a turn of its loop.
  package static let mostAckDelay = Interval.milliseconds(10)
  /// What a timer may be off: RFC 9002, section 6.1.2.
  package static let granularity = Interval.milliseconds(1)
  private static let longest = Interval.seconds(60)

  /// The newest sample.
  package private(set) var latest = Interval(nanoseconds: 0)
  /// The moving average of the samples.
  package private(set) var smoothed = RoundTrip.initial
  /// The moving average of what samples are off the average.
  package private(set) var variation = RoundTrip.initial / 2
  /// The least sample since the first one, or since persistent congestion.
  package private(set) var least = Interval(nanoseconds: 0)
  /// Whether there was a sample.
  package private(set) var isSampled = false
  /// The next sample is the least one, whatever it is.
  private var forgetsLeast = true

  package init() {}

  /// Takes a sample in, of which the peer says that it spent `ackDelay` itself.
  package mutating func sample(_ time: Interval, ackDelay: Interval = Interval(nanoseconds: 0)) {
    latest = min(time, Self.longest)
    least = forgetsLeast ? latest : min(least, latest)
    forgetsLeast = false
    guard isSampled else {
      isSampled = true
      smoothed = latest
      variation = latest / 2
      return
    }
    average(adjusted(by: min(ackDelay, Self.mostAckDelay)))
  }

  /// Persistent congestion may be another path: the next sample is the least one (RFC 9002, section
  /// 5.2).
  package mutating func forgetLeast() { forgetsLeast = true }

  /// How long after its sending a datagram is lost if a later one was acknowledged: RFC 9002,
  /// section 6.1.2.
  package var lossDelay: Interval {
    let longer = max(latest, smoothed)
    return max(Interval(nanoseconds: longer.nanoseconds / 8 * 9), Self.granularity)
  }

  /// How long to wait for an acknowledgement before a probe is sent: RFC 9002, section 6.2.1.
  package var probeTimeout: Interval {
    Interval(
      nanoseconds: smoothed.nanoseconds + max(variation * 4, Self.granularity).nanoseconds
        + Self.mostAckDelay.nanoseconds)
  }

  /// The newest sample without what the peer spent, which is not believed below the least sample.
  private func adjusted(by delay: Interval) -> UInt64 {
    let floor = least.nanoseconds + delay.nanoseconds
    return latest.nanoseconds >= floor
      ? latest.nanoseconds - delay.nanoseconds : latest.nanoseconds
  }

  /// The variation is of the average before this sample, as in RFC 9002, appendix A.7.
  private mutating func average(_ sample: UInt64) {
    let mean = smoothed.nanoseconds
    let off = mean > sample ? mean - sample : sample - mean
    variation = Interval(nanoseconds: (3 * variation.nanoseconds + off) / 4)
    smoothed = Interval(nanoseconds: (7 * mean + sample) / 8)
  }
}
