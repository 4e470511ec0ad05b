/// Who must speak, and when silence means that the peer is gone.
extension Endpoint {
  // MARK: The rotation

  /// The rotation for a connection's pace: it beats at min(own interval, peer's lost_after / 3).
  /// Paces that peers ask for are rounded down to powers of two, so that no peer can make rotations
  /// without end.
  mutating func rotationIndex(own: Interval, peerLostAfter: UInt32, at now: Instant) -> Int {
    let asked = UInt64(max(peerLostAfter, WireFormat.leastLostAfter)) * 1_000_000 / 3
    var interval = own.nanoseconds
    if asked < interval { interval = 1 << UInt64(UInt64.bitWidth - 1 - asked.leadingZeroBitCount) }
    let half = Interval(nanoseconds: interval / 2)
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
    let silence = drainedAt.since(connections[slot].lastHeard)
    guard silence < options.lost else {
      lose(slot, .timedOut, at: now)
      return
    }
    if silence >= options.suspect { probe(slot, at: now) }
    let half = rotations[Int(connections[slot].beats)].half
    if now.since(connections[slot].lastSent) >= half { beat(slot, at: now) }
  }

  /// Sends a heartbeat, unless what is already queued says as much.
  mutating func beat(_ slot: Int, at now: Instant) {
    connections[slot].lastSent = now
    switch connections[slot].transport {
    case .udp:
      guard !connections[slot].flags.contains(.hasOpenDatagram) else { return }
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
    guard connections[slot].transport == .udp, !connections[slot].flags.contains(.implicit),
      !connections[slot].flags.contains(.suspect)
    else { return }
    connections[slot].flags.insert(.suspect)
    sendChallenge(slot)
    armOpen(slot, at: now)
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
    timers.cancel(&connections[slot].timer)
    if let due { connections[slot].timer = timers.schedule(.connection, slot, at: due) }
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
    if connections[slot].flags.contains(.suspect) {
      let silence = drainedAt.since(connections[slot].lastHeard)
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

  // MARK: Time

  /// Time has come to `now`. `drainedAt` is when the sockets were last seen empty: silence is
  /// judged up to then, so that a loop that was not entered for long loses nobody whose packets
  /// wait in the kernel.
  package mutating func handleTimeout(at now: Instant, drainedAt: Instant) {
    while let due = timers.popDue(at: now) {
      switch due.kind {
      case .connection: connectionTimer(due.index, at: now, drainedAt: drainedAt)
      case .get: getTimedOut(due.index, at: now)
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
    if !events.isEmpty || !actions.isEmpty || !openDatagrams.isEmpty || !readySockets.isEmpty
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
