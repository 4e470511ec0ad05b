/// How long to wait for the reply of a request in one packet before it is sent again: RFC 6298 with
/// Karn's rule, and with a shorter least wait, because a copy is cheap and is recognised.
package struct ReplyTimer: Equatable, Sendable {
  /// Until a reply was measured.
  package static let initial = Interval.milliseconds(200)
  package static let least = Interval.milliseconds(20)
  package static let most = Interval.seconds(60)
  /// `least` doubled so often is above `most`.
  private static let mostDoublings = 12
  /// What later requests keep of the doublings of an earlier one. All of them, as RFC 6298 has it,
  /// would let a few losses keep requests from being sent again at all within their time-outs.
  private static let mostKept = 2

  private var isSampled = false
  private var smoothed: UInt64 = 0
  private var variation: UInt64 = 0
  private var leastSample = UInt64.max
  /// The attempt that a new request begins with: some of the doubling stays for later requests until
  /// one that was sent once is answered, so that the time of a peer that became slower is measured
  /// (RFC 6298, sections 5.5 to 5.7).
  package private(set) var firstAttempt = 0

  package init() {}

  /// Takes in how long the reply of a request took that was sent only once.
  @inline(__always)
  package mutating func sample(_ time: Interval) {
    let sample = min(time, Self.most).nanoseconds
    leastSample = min(leastSample, sample)
    firstAttempt = 0
    guard isSampled else {
      isSampled = true
      smoothed = sample
      variation = sample / 2
      return
    }
    let off = smoothed > sample ? smoothed - sample : sample - smoothed
    variation = (3 * variation + off) / 4
    smoothed = (7 * smoothed + sample) / 8
  }

  /// How long to wait after sending a request for the `attempt`-th time, where the first is
  /// `firstAttempt` as it was then.
  @inline(__always)
  package mutating func timeout(attempt: Int) -> Interval {
    if attempt == 0, firstAttempt == 0 { return min(base, Self.most) }
    firstAttempt = min(max(firstAttempt, attempt), Self.mostKept)
    return min(base * (1 << UInt64(min(max(attempt, 0), Self.mostDoublings))), Self.most)
  }

  /// The time until a reply, smoothed, what samples are off it, and the least one; nil until one
  /// was measured.
  package var roundTrip: (smoothed: Interval, variation: Interval, least: Interval)? {
    guard isSampled else { return nil }
    return (
      Interval(nanoseconds: smoothed), Interval(nanoseconds: variation),
      Interval(nanoseconds: leastSample)
    )
  }

  /// The wait without doublings.
  @inline(__always)
  private var base: Interval {
    guard isSampled else { return Self.initial }
    return max(Interval(nanoseconds: smoothed + 4 * variation), Self.least)
  }
}
