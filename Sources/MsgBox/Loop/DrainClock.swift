/// Knows up to when silence may be judged: when the sockets were last seen empty.
///
/// Peers whose packets wait in the kernel are not silent, so a loop that was away for long must
/// read before it judges. A loop that reads without pause and yet never sees the end, because of a
/// flood, judges after a second all the same: by then whatever waited when the flood began has long
/// been read.
package struct DrainClock {
  /// How long an unbroken streak of polls must last before silence is judged without an empty
  /// socket.
  package static let patience = Interval.seconds(1)
  /// Polls further apart than this are not one streak.
  package static let longestGap = Interval.milliseconds(250)

  /// What `isFresh` calls lately.
  package static let freshness = Interval.milliseconds(20)

  package private(set) var drainedAt: Instant
  /// The first poll since the sockets were last seen empty; nil if there was none.
  private var busySince: Instant?
  private var streakBegan: Instant
  private var lastPoll: Instant

  package init(now: Instant) {
    drainedAt = now
    streakBegan = now
    lastPoll = now
  }

  /// A poll returned.
  package mutating func polled(at now: Instant) {
    if busySince == nil { busySince = now }
    if now.since(lastPoll) > Self.longestGap { streakBegan = now }
    lastPoll = now
  }

  /// All that the poll at `instant` found ready has been read to its end.
  package mutating func sawEmpty(at instant: Instant) {
    drainedAt = max(drainedAt, instant)
    busySince = nil
  }

  /// What was expected of the sockets has been read, and they were seen empty not long ago.
  package mutating func sawServed() { busySince = nil }

  /// The system could not say what a socket has. However often that is polled, what waits there is not
  /// read by that, so the streak tells of nobody's silence.
  package mutating func couldNotRead() { streakBegan = lastPoll }

  /// Whether the sockets were seen empty so lately that to see it again tells nothing new.
  package func isFresh(at now: Instant) -> Bool { now.since(drainedAt) < Self.freshness }

  /// Whether all polls for so long have left something to read.
  package var isBehind: Bool {
    guard let busySince else { return false }
    return lastPoll.since(busySince) >= Self.freshness
  }

  /// Up to when silence may be judged.
  package func judged(at now: Instant) -> Instant {
    guard now.since(streakBegan) >= Self.patience, now.since(lastPoll) <= Self.longestGap else {
      return drainedAt
    }
    let recent = Instant(nanoseconds: now.nanoseconds &- Self.patience.nanoseconds)
    return max(drainedAt, recent)
  }
}
