/// Who must speak, and when silence means that the peer is gone.
extension Endpoint {
  // MARK: The rotation

  /// Puts a connection into the rotation of its pace.
  mutating func joinRotation(
    _ slot: Int, _ options: ConnectionOptions, peerLostAfter: UInt32, at now: Instant
  ) {
    let index = rotationIndex(half: halfPace(options, peerLostAfter), at: now)
    connections[slot].beats = UInt16(index)
    rotations[index].add(connections[slot].session, at: now)
    // One visit in two brings a beat: every other connection beats once at two in a row, so that
    // those who come together do not all beat in the same rounds.
    if rotations[index].count % 2 == 0 { connections[slot].flags.insert(.beatsSoon) }
    sweepRotation(index)
  }

  /// Nobody is visited in the rotation of those who owe the peer no heartbeats, so whoever joins or
  /// leaves it clears away those that have ended, up to the second one that has not. Then at most
  /// about as many ghosts are left as there are live ones, and none behind the last.
  mutating func sweepRotation(_ index: Int) {
    guard rotations[index].half == OutBeats.unvisited else { return }
    var live = 0
    while live < 2, let oldest = rotations[index].next() {
      guard !removeClose(oldest) else { continue }
      rotations[index].keep(oldest)
      live += 1
    }
  }

  /// Whether an entry of a rotation is that of a session that has ended; it is known no more then.
  private mutating func removeClose(_ session: UInt64) -> Bool {
    pendingCloses.remove(session) || implicitCloses.remove(session)
  }

  /// Half of the longest time between two packets of ours: by the own options, and a third of what
  /// the peer allows. Paces that peers ask for are rounded down to powers of two, so that no peer
  /// can make rotations without end.
  private func halfPace(_ options: ConnectionOptions, _ peerLostAfter: UInt32) -> Interval {
    var pace = options.liveness == .beat ? options.heartbeat : OutBeats.unvisited
    if options.keepalive.nanoseconds > 0 { pace = min(pace, options.keepalive) }
    if peerLostAfter != 0 {
      let asked = UInt64(max(peerLostAfter, WireFormat.leastLostAfter)) * 1_000_000 / 3
      if asked < pace.nanoseconds {
        pace = Interval(
          nanoseconds: 1 << UInt64(UInt64.bitWidth - 1 - asked.leadingZeroBitCount))
      }
    }
    return pace == OutBeats.unvisited ? pace : pace / 2
  }

  private mutating func rotationIndex(half: Interval, at now: Instant) -> Int {
    if let index = rotations.firstIndex(where: { $0.half == half }) { return index }
    guard rotations.count < Int(UInt16.max) else { return rotations.count - 1 }
    rotations.append(OutBeats(half: half, now: now))
    return rotations.count - 1
  }

  private mutating func turnRotation(_ index: Int, at now: Instant, drainedAt: Instant) {
    for _ in 0..<rotations[index].visitsDue(at: now) {
      guard let session = rotations[index].next() else { return }
      if removeClose(session) { continue }
      guard let slot = connStatus.slot(session, in: connections) else {
        assertionFailure("an entry of out_beats is neither in conn_status nor in pending_closes")
        continue
      }
      rotations[index].keep(session)
      visit(slot, at: now, drainedAt: drainedAt)
    }
  }

  /// The visit that each live connection gets once per half heartbeat interval.
  private mutating func visit(_ slot: Int, at now: Instant, drainedAt: Instant) {
    let options = options(slot)
    // Nobody is silent whose bytes wait because the program takes none.
    if isPaused(connections[slot].socket) { connections[slot].lastHeard = now }
    if options.liveness == .beat {
      let silence = drainedAt.since(connections[slot].lastHeard)
      guard silence < options.lost else { return lose(slot, .timedOut, at: now) }
      // The timer of one that is being closed is for the end of that.
      if connections[slot].phase == .open { doubt(slot, silence, options, at: now) }
    }
    if let traffic = connections[slot].traffic, !tidy(slot, traffic, options, at: now) { return }
    guard needsBeat(slot, at: now) else { return }
    if options.idleKeepalives > 0, connections[slot].phase == .open {
      let traffic = traffic(slot)
      guard traffic.idleBeats < options.idleKeepalives else {
        return close(slot, .idle, .idle, at: now)
      }
      traffic.idleBeats += 1
    }
    beat(slot, at: now)
  }

  /// Whether the visit after this one would be too late for a beat; or it is to be one more.
  private mutating func needsBeat(_ slot: Int, at now: Instant) -> Bool {
    let half = rotations[Int(connections[slot].beats)].half
    guard !isUnproven(slot, pace: half * 2, at: now) else { return false }
    let sent = now.since(connections[slot].lastSent)
    guard sent < half else { return true }
    // Only at the visit after a beat, or if something was sent about then: data are no beats.
    return sent.nanoseconds >= half.nanoseconds - half.nanoseconds / 6
      && connections[slot].flags.remove(.beatsSoon) != nil
  }

  /// Whether all that came of a peer without a session may be forged: who is there beats, too.
  private func isUnproven(_ slot: Int, pace: Interval, at now: Instant) -> Bool {
    connections[slot].flags.contains(.implicit)
      && now.since(connections[slot].lastHeard) >= pace * 3
  }

  /// How long a part of a reliable message may wait for the next one.
  static func patience(_ options: ConnectionOptions) -> Interval {
    max(options.lost, Reassembly.lifetime)
  }

  /// Gives back what a connection needs no more, and ends one that holds a part of a reliable
  /// message of which nothing has come for as long as silence may last, and 10 s at least: its
  /// sender sends it again much more often than that. False if it has ended.
  mutating func tidy(
    _ slot: Int, _ traffic: Traffic, _ options: ConnectionOptions, at now: Instant
  ) -> Bool {
    if traffic.replyCache?.isStale(at: now) == true { traffic.replyCache = nil }
    guard let progress = traffic.reassembly?.oldestReliableProgress else { return true }
    // What was refused because the program is slow is no fault of the sender.
    guard now.since(max(progress, traffic.refusedAt)) >= Endpoint.patience(options),
      connections[slot].phase == .open
    else { return true }
    close(slot, .overload, .overload, at: now)
    return false
  }

  /// Sends a heartbeat, unless what is already queued says as much.
  mutating func beat(_ slot: Int, at now: Instant) {
    connections[slot].lastSent = now
    switch connections[slot].transport {
    case .udp:
      guard !connections[slot].flags.contains(.isReady) else { return }
      counters.heartbeatsSent &+= 1
      sendControl(.heartbeat, session: connections[slot].sendSession, slot)
    case .tcp:
      guard hasWritten(connections[slot].socket) else { return }
      counters.heartbeatsSent &+= 1
      appendToStream(connections[slot].socket, .heartbeat, session: nil)
    }
  }

  // MARK: Suspicion

  /// Asks a silent UDP peer for a sign, each second from here until it gives one.
  mutating func probe(_ slot: Int, at now: Instant) {
    if suspect(slot, at: now) { armOpen(slot, at: now) }
  }

  /// Probes a peer that has been silent for so long; when it will have been before the next visit,
  /// its timer does.
  private mutating func doubt(
    _ slot: Int, _ silence: Interval, _ options: ConnectionOptions, at now: Instant
  ) {
    guard silence < options.suspect else { return probe(slot, at: now) }
    let left = Interval(nanoseconds: options.suspect.nanoseconds &- silence.nanoseconds)
    guard left <= rotations[Int(connections[slot].beats)].round, mayChallenge(slot),
      connections[slot].timer == .none
    else { return }
    connections[slot].timer = timers.schedule(.connection, slot, at: now + left)
  }

  @discardableResult
  private mutating func suspect(_ slot: Int, at now: Instant) -> Bool {
    guard mayChallenge(slot), !connections[slot].flags.contains(.suspect) else { return false }
    connections[slot].flags.insert(.suspect)
    sendChallenge(slot, at: now)
    return true
  }

  /// The time between two challenges of a silent peer.
  private static let challengeGap = Interval.seconds(1)

  private mutating func sendChallenge(_ slot: Int, at now: Instant) {
    sendControl(
      .pathChallenge(challengeToken(slot, at: now)), session: connections[slot].sendSession, slot)
  }

  /// The low bits of a token, which say when it was made.
  private static let tokenTime: UInt64 = (1 << 26) - 1

  /// The token of a challenge: known to nobody who has not seen it, and kept nowhere. It says in
  /// microseconds, of which it wraps after a minute, when it was made.
  private func challengeToken(_ slot: Int, at now: Instant) -> UInt64 {
    challengeToken(slot, time: now.nanoseconds / 1000 & Self.tokenTime)
  }

  private func challengeToken(_ slot: Int, time: UInt64) -> UInt64 {
    var token = (connections[slot].session ^ challengeKey) &* 0xbf58_476d_1ce4_e5b9
    token = (token ^ token >> 29 ^ time) &* challengeKey
    token = (token ^ token >> 31) &* 0x94d0_49bb_1331_11eb
    return (token ^ token >> 32) & ~Self.tokenTime | time
  }

  /// A path response: it tells the round trip, if it answers a challenge of ours and comes before
  /// the next one is due. One that is older may be a copy: believed, it would make the probe timeout
  /// three times its age.
  mutating func receivePathResponse(_ token: UInt64?, _ slot: Int, at now: Instant) {
    if let token, refusesChange(token, slot) { return }
    guard let token, token == challengeToken(slot, time: token & Self.tokenTime) else {
      return drop(.staleResponse, slot)
    }
    let microseconds = (now.nanoseconds / 1000 &- token) & Self.tokenTime
    let time = Interval(nanoseconds: max(microseconds, 1) * 1000)
    if time <= Self.challengeGap { sampleRoundTrip(slot, time) }
  }

  mutating func heard(_ slot: Int, at now: Instant) {
    connections[slot].lastHeard = now
    connections[slot].flags.insert(.isConfirmed)
  }

  /// Whether the peer knows challenges.
  func mayChallenge(_ slot: Int) -> Bool {
    connections[slot].transport == .udp && !connections[slot].flags.contains(.implicit)
  }

  // MARK: The timer of an open connection

  mutating func armOpen(_ slot: Int, at now: Instant) {
    var due: Instant?
    if connections[slot].flags.contains(.suspect) { due = now + Self.challengeGap }
    if let state = connections[slot].clientState, owesConfirmation(slot, state) {
      due = min(due ?? state.nextHello, state.nextHello)
    }
    if connections[slot].flags.contains(.onDemand), let own = onDemandDue(slot) {
      // What is due already waits for the sockets to be empty; it is looked at again soon.
      let later = max(own, now + .milliseconds(10))
      due = min(due ?? later, later)
    }
    timers.cancel(&connections[slot].timer)
    guard let due else { return }
    connections[slot].timer = timers.schedule(.connection, slot, at: max(due, now))
    connections[slot].traffic?.timerDue = due
  }

  private func owesConfirmation(_ slot: Int, _ state: ClientState) -> Bool {
    state.confirmationsLeft > 0 && !connections[slot].flags.contains(.isConfirmed)
  }

  private mutating func openTimer(_ slot: Int, at now: Instant, drainedAt: Instant) {
    if let state = connections[slot].clientState, owesConfirmation(slot, state),
      now >= state.nextHello
    {
      repeatConfirmation(slot, state, at: now)
    }
    if connections[slot].flags.contains(.onDemand) { showSign(slot, at: now) }
    let isSuspect = connections[slot].flags.contains(.suspect)
    let options = options(slot)
    if isSuspect || connections[slot].flags.contains(.onDemand) || options.liveness == .beat {
      let silence = silence(slot, drainedAt)
      guard silence < options.lost else { return lose(slot, .timedOut, at: now) }
      if silence < options.suspect {
        connections[slot].flags.remove(.suspect)
      } else if isSuspect {
        sendChallenge(slot, at: now)
      } else {
        suspect(slot, at: now)
      }
    }
    armOpen(slot, at: now)
  }

  private mutating func repeatConfirmation(_ slot: Int, _ state: ClientState, at now: Instant) {
    state.confirmationsLeft -= 1
    state.nextHello = now + state.confirmationGap
    state.confirmationGap = state.confirmationGap * 2
    counters.heartbeatsSent &+= 1
    sendControl(.heartbeat, session: connections[slot].sendSession, slot)
  }

  // MARK: Time

  /// Time has come to `now`. `drainedAt` is when the sockets were last seen empty: silence is
  /// judged up to then, so that a loop that was not entered for long loses nobody whose packets
  /// wait in the kernel.
  package mutating func handleTimeout(at now: Instant, drainedAt: Instant) {
    while let due = timers.popDue(at: now) {
      switch due.kind {
      case .connection: connectionTimer(due.index, at: now, drainedAt: drainedAt)
      case .get: getTimer(due.index, at: now)
      case .gets: getsTimer(due.index, at: now)
      case .recovery: recoveryTimer(due.index, at: now)
      case .reassembly: reassemblyTimer(due.index, at: now)
      case .expiry: expiryTimer(due.index, at: now)
      case .pendingHello:
        pendingHellos[due.index].timer = .none
        removePendingHello(due.index)
      case .tombstone: tombstoneTimer(due.index, at: now)
      case .pathChange: changeTimer(due.index, at: now, drainedAt: drainedAt)
      case .linger: lingerTimer(SocketID(rawValue: UInt32(due.index)))
      }
    }
    for index in rotations.indices { turnRotation(index, at: now, drainedAt: drainedAt) }
    implicitPeers.forgetGhosts(at: now)
  }

  private mutating func connectionTimer(_ slot: Int, at now: Instant, drainedAt: Instant) {
    connections[slot].timer = .none
    switch connections[slot].phase {
    case .open:
      openTimer(slot, at: now, drainedAt: drainedAt)
    case .closing:
      finishClosing(slot, at: now)
    case .awaitingHello:
      counters.drop(.noSession)
      discard(slot)
    default:
      connectingTimer(slot, at: now)
    }
  }

  /// When `handleTimeout` is next due; nil if never. The past if something waits to be sent on a
  /// socket that is not blocked, or an event or action waits.
  package var nextDeadline: Instant? {
    hasNews || hasOutput ? Instant(nanoseconds: 0) : nextTimer
  }

  /// Whether the time at which a datagram is sent is the beginning of a measurement.
  package var measuresSending: Bool { outboxPool.inUse > 0 }

  /// Whether something waits to be sent on a socket that is not blocked.
  package var hasOutput: Bool { hasDatagrams || !readyStreams.isEmpty }

  /// The same of what goes over UDP.
  package var hasDatagrams: Bool {
    !ready.isEmpty || !nextRound.isEmpty || !readySockets.isEmpty
  }

  /// When `handleTimeout` has something to do; nil if never.
  package var nextTimer: Instant? {
    var earliest = timers.nextDeadline
    for index in rotations.indices {
      if let visit = rotations[index].nextVisit { earliest = min(earliest ?? visit, visit) }
    }
    if let ghost = implicitPeers.nextDeadline { earliest = min(earliest ?? ghost, ghost) }
    return earliest
  }
}
