/// Who must speak, and when silence means that the peer is gone.
extension Endpoint {
  // MARK: The rotation

  /// How long nobody is visited in the rotation of those who owe the peer no heartbeats.
  private static let idlePace = Interval.seconds(7200)

  /// Puts a connection into the rotation of its pace.
  mutating func joinRotation(_ slot: Int, peerLostAfter: UInt32, at now: Instant) {
    let index = rotationIndex(half: pace(options(slot), peerLostAfter) / 2, at: now)
    let session = connections[slot].session
    connections[slot].beats = UInt16(index)
    rotations[index].add(session, at: now)
    guard rotations[index].half == Self.idlePace / 2 else { return }
    // Nobody visits here for long, so each that comes clears away up to two that have ended.
    for _ in 0..<2 {
      guard let oldest = rotations[index].next() else { return }
      if !pendingCloses.remove(oldest) { rotations[index].keep(oldest) }
    }
  }

  /// The longest time between two packets of ours: by the own options, and a third of what the peer
  /// allows. Paces that peers ask for are rounded down to powers of two, so that no peer can make
  /// rotations without end.
  private func pace(_ options: ConnectionOptions, _ peerLostAfter: UInt32) -> Interval {
    var pace = options.liveness == .beat ? options.heartbeat : Self.idlePace
    if options.keepalive.nanoseconds > 0 { pace = min(pace, options.keepalive) }
    guard peerLostAfter != 0 else { return pace }
    let asked = UInt64(max(peerLostAfter, WireFormat.leastLostAfter)) * 1_000_000 / 3
    guard asked < pace.nanoseconds else { return pace }
    return Interval(nanoseconds: 1 << UInt64(UInt64.bitWidth - 1 - asked.leadingZeroBitCount))
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
      if pendingCloses.remove(session) { continue }
      guard let slot = connStatus.slot(session) else {
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
    if stream(connections[slot].socket)?.isPaused == true { connections[slot].lastHeard = now }
    if options.liveness == .beat {
      let silence = drainedAt.since(connections[slot].lastHeard)
      guard silence < options.lost else { return lose(slot, .timedOut, at: now) }
      if silence >= options.suspect { probe(slot, at: now) }
    }
    if let traffic = connections[slot].traffic, !tidy(slot, traffic, options, at: now) { return }
    let half = rotations[Int(connections[slot].beats)].half
    guard now.since(connections[slot].lastSent) >= half else { return }
    if options.idleKeepalives > 0, connections[slot].phase == .open {
      let traffic = traffic(slot)
      guard traffic.idleBeats < options.idleKeepalives else {
        return close(slot, .idle, .idle, at: now)
      }
      traffic.idleBeats += 1
    }
    beat(slot, at: now)
  }

  /// Gives back what a connection needs no more, and ends one that holds a part of a reliable
  /// message of which nothing has come for as long as silence may last, and 10 s at least: its sender
  /// sends it again much more often than that. False if it has ended.
  private mutating func tidy(
    _ slot: Int, _ traffic: Traffic, _ options: ConnectionOptions, at now: Instant
  ) -> Bool {
    if traffic.replyCache?.isStale(at: now) == true { traffic.replyCache = nil }
    guard let progress = traffic.reassembly?.oldestReliableProgress,
      now.since(max(progress, traffic.refusedAt)) >= max(options.lost, .seconds(10)),
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
      guard let stream = stream(connections[slot].socket), stream.out.count == 0 else { return }
      counters.heartbeatsSent &+= 1
      appendToStream(connections[slot].socket, .heartbeat, session: nil)
    }
  }

  // MARK: Suspicion

  /// Asks a silent UDP peer for a sign, each second from here until it gives one.
  mutating func probe(_ slot: Int, at now: Instant) {
    if suspect(slot) { armOpen(slot, at: now) }
  }

  @discardableResult
  private mutating func suspect(_ slot: Int) -> Bool {
    guard connections[slot].transport == .udp, !connections[slot].flags.contains(.implicit),
      !connections[slot].flags.contains(.suspect)
    else { return false }
    connections[slot].flags.insert(.suspect)
    sendChallenge(slot)
    return true
  }

  private mutating func sendChallenge(_ slot: Int) {
    sendControl(
      .pathChallenge(challengeToken(slot)), session: connections[slot].sendSession, slot)
  }

  /// The token of a session's challenges: known to nobody who has not seen one, and kept nowhere.
  func challengeToken(_ slot: Int) -> UInt64 {
    var token = (connections[slot].session ^ challengeKey) &* 0xbf58_476d_1ce4_e5b9
    token = (token ^ token >> 29) &* challengeKey
    return token ^ token >> 32
  }

  mutating func heard(_ slot: Int, at now: Instant) {
    connections[slot].lastHeard = now
    connections[slot].flags.insert(.isConfirmed)
  }

  // MARK: The timer of an open connection

  mutating func armOpen(_ slot: Int, at now: Instant) {
    var due: Instant?
    if connections[slot].flags.contains(.suspect) { due = now + .seconds(1) }
    if let state = connections[slot].clientState, owesConfirmation(slot, state) {
      due = min(due ?? state.nextHello, state.nextHello)
    }
    if connections[slot].flags.contains(.onDemand), let own = onDemandDue(slot) {
      due = min(due ?? own, own)
    }
    timers.cancel(&connections[slot].timer)
    if let due { connections[slot].timer = timers.schedule(.connection, slot, at: max(due, now)) }
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
    if connections[slot].flags.contains(.onDemand) { onDemandTimer(slot, at: now) }
    if connections[slot].flags.contains(.suspect) {
      let silence = silence(slot, drainedAt)
      guard silence < options(slot).lost else {
        lose(slot, .timedOut, at: now)
        return
      }
      if silence >= options(slot).suspect {
        sendChallenge(slot)
      } else {
        connections[slot].flags.remove(.suspect)
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

  // MARK: Silent when idle

  /// How long the peer has owed a sign of life.
  private func silence(_ slot: Int, _ drainedAt: Instant) -> Interval {
    guard connections[slot].flags.contains(.onDemand) else {
      return drainedAt.since(connections[slot].lastHeard)
    }
    guard let traffic = connections[slot].traffic,
      traffic.firstUnanswered > connections[slot].lastHeard
    else { return Interval(nanoseconds: 0) }
    return drainedAt.since(traffic.firstUnanswered)
  }

  /// When a connection that is silent when idle has something to do: to doubt the peer, or to show
  /// it that its message came (E17 of WireGuard's rules: a keepalive 10 s after data that was not
  /// answered).
  private func onDemandDue(_ slot: Int) -> Instant? {
    guard let traffic = connections[slot].traffic else { return nil }
    var due: Instant?
    // Who is suspected already is asked each second.
    if traffic.firstUnanswered > connections[slot].lastHeard,
      !connections[slot].flags.contains(.suspect)
    {
      due = traffic.firstUnanswered + options(slot).suspect
    }
    if traffic.lastMessageAt > connections[slot].lastSent {
      let answer = traffic.lastMessageAt + options(slot).heartbeat
      due = min(due ?? answer, answer)
    }
    return due
  }

  private mutating func onDemandTimer(_ slot: Int, at now: Instant) {
    guard let traffic = connections[slot].traffic else { return }
    if traffic.lastMessageAt > connections[slot].lastSent,
      now.since(traffic.lastMessageAt) >= options(slot).heartbeat
    {
      beat(slot, at: now)
    }
    if traffic.firstUnanswered > connections[slot].lastHeard,
      now.since(traffic.firstUnanswered) >= options(slot).suspect
    {
      suspect(slot)
    }
  }

  /// A message went to a peer, or came from it, of a connection that is silent when idle.
  mutating func messageMoved(_ slot: Int, _ traffic: Traffic, isOurs: Bool, at now: Instant) {
    if !isOurs {
      traffic.lastMessageAt = now
    } else if traffic.firstUnanswered <= connections[slot].lastHeard {
      traffic.firstUnanswered = now
    }
    if connections[slot].phase == .open, connections[slot].timer == .none {
      armOpen(slot, at: now)
    }
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
      case .recovery: recoveryTimer(due.index, at: now)
      case .reassembly: reassemblyTimer(due.index, at: now)
      case .pendingHello:
        pendingHellos[due.index].timer = .none
        removePendingHello(due.index)
      case .tombstone: tombstoneTimer(due.index, at: now)
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
    if !events.isEmpty || !actions.isEmpty || !ready.isEmpty || !readySockets.isEmpty
      || !readyStreams.isEmpty
    {
      return Instant(nanoseconds: 0)
    }
    var earliest = timers.nextDeadline
    for rotation in rotations {
      if let visit = rotation.nextVisit { earliest = min(earliest ?? visit, visit) }
    }
    if let ghost = implicitPeers.nextDeadline { earliest = min(earliest ?? ghost, ghost) }
    return earliest
  }
}
