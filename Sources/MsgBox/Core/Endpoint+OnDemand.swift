/// Connections that are silent when idle: they are visited by nobody, and live by the timer of an
/// open connection while there is something to wait for.
extension Endpoint {
  /// How long the peer has owed a sign of life.
  func silence(_ slot: Int, _ drainedAt: Instant) -> Interval {
    guard connections[slot].flags.contains(.onDemand) else {
      return drainedAt.since(connections[slot].lastHeard)
    }
    guard let traffic = connections[slot].traffic, let since = waitsSince(slot, traffic) else {
      return Interval(nanoseconds: 0)
    }
    return drainedAt.since(since)
  }

  /// Since when something of ours waits for a sign of the peer; nil if nothing does.
  private func waitsSince(_ slot: Int, _ traffic: Traffic) -> Instant? {
    let heard = connections[slot].lastHeard
    // A message that left at the very time of the peer's last packet was not answered by that.
    if traffic.firstUnanswered >= heard { return traffic.firstUnanswered }
    // A peer that cannot be challenged has said that it lives, and need not say it again before
    // the reply is made.
    let isWaiting =
      traffic.queuedMessages > 0 || mayChallenge(slot) && traffic.waitingGets.first != nil
    return isWaiting ? heard : nil
  }

  /// Since when we owe the peer a sign that its message came; nil if we do not.
  private func owesSignSince(_ slot: Int, _ traffic: Traffic) -> Instant? {
    // Who reads nothing, because its program takes nothing, says all the same that it lives.
    if isPaused(slot) { return connections[slot].lastSent }
    return traffic.firstUnsigned > connections[slot].lastSent ? traffic.firstUnsigned : nil
  }

  private func isPaused(_ slot: Int) -> Bool { isPaused(connections[slot].socket) }

  /// When a connection that is silent when idle has something to do: to doubt the peer, to lose it,
  /// or to show it that its message came (WireGuard's rule: a keepalive 10 s after data that
  /// nothing was sent after).
  func onDemandDue(_ slot: Int) -> Instant? {
    guard let traffic = connections[slot].traffic else { return nil }
    let options = options(slot)
    var due: Instant?
    if let since = waitsSince(slot, traffic) {
      let doubts = mayChallenge(slot) && !connections[slot].flags.contains(.suspect)
      due = since + (doubts ? min(options.suspect, options.lost) : options.lost)
    }
    if let since = owesSignSince(slot, traffic) {
      let sign = since + options.heartbeat
      due = min(due ?? sign, sign)
    }
    if let stale = traffic.replyCache?.staleAt { due = min(due ?? stale, stale) }
    return due
  }

  /// Shows the peer that its message came, and gives back what is needed no more, if that is due.
  mutating func showSign(_ slot: Int, at now: Instant) {
    guard let traffic = connections[slot].traffic else { return }
    if let since = owesSignSince(slot, traffic), now.since(since) >= options(slot).heartbeat {
      beat(slot, at: now)
    }
    if traffic.replyCache?.isStale(at: now) == true { traffic.replyCache = nil }
    // Nobody is silent whose bytes wait.
    if isPaused(slot) { connections[slot].lastHeard = now }
  }

  /// A message went to a peer, or one or a part of one came from it, of a connection that is silent
  /// when idle.
  mutating func messageMoved(_ slot: Int, _ traffic: Traffic, isOurs: Bool, at now: Instant) {
    let options = options(slot)
    if !isOurs {
      if traffic.firstUnsigned <= connections[slot].lastSent { traffic.firstUnsigned = now }
    } else if traffic.firstUnanswered <= connections[slot].lastHeard {
      traffic.firstUnanswered = now
    }
    guard connections[slot].phase == .open else { return }
    let due = now + (isOurs ? min(options.suspect, options.lost) : options.heartbeat)
    if connections[slot].timer == .none || due < traffic.timerDue { armOpen(slot, at: now) }
  }
}
