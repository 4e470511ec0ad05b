/// Spreads the datagrams of a window over the round trip: a leaky bucket after RFC 9002, section
/// 7.7.
///
/// It fills with 1.25 windows in a round trip. The loop wakes with the granularity of a
/// millisecond, and so the bucket holds what comes in 4 ms: on a short path the pacer must not be
/// what limits.
package struct Pacer: Equatable, Sendable {
  package static let burst = 10 * NewReno.datagram
  private static let span: UInt64 = 4_000_000
  /// More than any window; keeps sums far from their ends.
  private static let most = 1 << 40

  /// Bytes that might be sent at `filledAt`; below zero after probes.
  private var level = Pacer.burst
  private var filledAt: Instant

  package init(now: Instant) {
    filledAt = now
  }

  /// Whether a datagram of full size may go.
  package func allows(at now: Instant, window: Int, smoothed: Interval) -> Bool {
    level(at: now, window: window, smoothed: smoothed) >= NewReno.datagram
  }

  package mutating func sent(_ bytes: Int, at now: Instant, window: Int, smoothed: Interval) {
    let level = level(at: now, window: window, smoothed: smoothed)
    self.level = max(level - bytes, -Self.burst)
    filledAt = max(filledAt, now)
  }

  /// When a datagram of full size may go.
  package func opens(window: Int, smoothed: Interval) -> Instant {
    let missing = UInt64(max(NewReno.datagram - level, 0))
    let (product, overflow) = missing.multipliedReportingOverflow(by: 4 * smoothed.nanoseconds)
    guard !overflow else { return filledAt + smoothed }
    let rate = 5 * UInt64(max(window, 1))
    return filledAt + Interval(nanoseconds: product / rate + (product % rate == 0 ? 0 : 1))
  }

  /// What the bucket holds; nothing is rounded away by asking often.
  private func level(at now: Instant, window: Int, smoothed: Interval) -> Int {
    let capacity = max(Self.burst, Self.bytes(in: Self.span, window, smoothed))
    return min(
      level + Self.bytes(in: now.since(filledAt).nanoseconds, window, smoothed), capacity)
  }

  /// What comes in `time` nanoseconds.
  private static func bytes(in time: UInt64, _ window: Int, _ smoothed: Interval) -> Int {
    let rate = 5 * UInt64(max(window, 0))
    let (product, overflow) = time.multipliedReportingOverflow(by: rate)
    guard !overflow else { return most }
    return Int(min(product / max(4 * smoothed.nanoseconds, 1), UInt64(most)))
  }
}
