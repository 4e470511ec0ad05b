/// The notes' out_beats: a rotation of session ids, each visited once per half heartbeat interval, and
/// each 30 s at least, evenly spread.
///
/// In truth a little sooner, by what a visit may come late with its group: so it comes before half
/// an interval has passed since the last beat, and the one after it before the whole. One beat in an
/// interval is enough, and none is late. Who joins while a round is under way has his first visit in the next
/// one, within the time of two.
///
/// An entry of a session that has ended stays until it is met, for a minute at most, and is then dropped;
/// so nothing has to search the rotation, and a session that comes back has an id, and an entry, of its own.
package final class OutBeats {
  /// Instead of half an interval: nobody in this rotation owes heartbeats, so nobody is visited.
  package static let unvisited = Interval(nanoseconds: .max)

  /// Visits are no rarer than this, however rare the beats: an entry that has ended waits for its
  /// visit, and peers may ask for a pace of days.
  package static let longestRound = Interval.seconds(30)

  package let half: Interval
  private var rotation = FIFO<UInt64>()
  /// Up to when visits were made.
  private var visitedUntil: Instant
  /// A round visits each entry that was there at its beginning. Its pace is set then: if it
  /// slackened while ghosts are dropped, the live behind many ghosts would be visited too late.
  private var roundSize = 0
  private var roundLeft = 0

  package init(half: Interval, now: Instant) {
    self.half = Interval(nanoseconds: max(half.nanoseconds, 1))
    visitedUntil = now
  }

  package var count: Int { rotation.count }

  package func add(_ session: UInt64, at now: Instant) {
    if rotation.isEmpty {
      visitedUntil = now
      roundLeft = 0
    }
    rotation.append(session)
  }

  /// When the next visits are due. They are made in groups, so that a large rotation does not wake
  /// the loop for each.
  package var nextVisit: Instant? {
    guard !rotation.isEmpty, half != Self.unvisited else { return nil }
    return visitedUntil + Interval(nanoseconds: max(step, groupSpan))
  }

  /// How many visits are due at `now`: at most one per entry, however long ago the last one was.
  package func visitsDue(at now: Instant) -> Int {
    guard let nextVisit, nextVisit <= now else { return 0 }
    if roundLeft == 0 {
      roundSize = rotation.count
      roundLeft = rotation.count
    }
    let due = now.since(visitedUntil).nanoseconds / step
    guard due < UInt64(roundLeft) else {
      let rest = roundLeft
      roundLeft = 0
      visitedUntil = now
      return rest
    }
    roundLeft -= Int(due)
    visitedUntil = visitedUntil + Interval(nanoseconds: due * step)
    return Int(due)
  }

  package func next() -> UInt64? { rotation.popFirst() }

  /// Puts a session that lives back at the end.
  package func keep(_ session: UInt64) { rotation.append(session) }

  /// In this time each entry is visited.
  package var round: Interval { min(half, Self.longestRound) }

  /// Time between two visits, in nanoseconds.
  private var step: UInt64 {
    let size = roundLeft == 0 ? rotation.count : roundSize
    return max((round.nanoseconds - groupSpan * 5 / 4) / UInt64(max(size, 1)), 1)
  }

  private var groupSpan: UInt64 { min(round.nanoseconds / 16, 20_000_000) }
}
