/// Sessions whose peers come to have another address: behind a NAT that has forgotten them, or in
/// another network.
extension Endpoint {
  /// A datagram with a session id was dropped. If only its address was wrong, it may be the first
  /// sign of a change, or the answer to a challenge.
  @inline(never)
  mutating func strayed(
    _ session: UInt64, _ datagram: Span<UInt8>, _ source: DatagramSource, at now: Instant
  ) {
    var parser = PacketParser()
    guard let slot = connStatus.slot(session, in: connections), !isOn(slot, source),
      mayMove(slot, source), case .packet(let packet) = parser.next(datagram)
    else { return }
    guard let change = pathChanges[slot], !isOver(change, source, at: now) else {
      if packet.kind != .pathResponse { beginChange(slot, datagram.count, source, at: now) }
      return
    }
    guard change.source.remote == source.remote else { return }
    pathChanges[slot]?.received += datagram.count
    guard packet.kind == .pathResponse,
      datagram.bigEndian(UInt64.self, at: packet.payload.lowerBound) == change.newToken
    else { return }
    pathChanges[slot]?.proved(at: now)
    // Not before all is read that came with this: the old address may have answered, too.
    if pathChanges[slot]?.isDecided(at: now) == true { armChange(slot, at: now) }
  }

  /// Only a server's peer can move: a client hears nobody but whom it has connected to.
  private func mayMove(_ slot: Int, _ source: DatagramSource) -> Bool {
    connections[slot].role == .server && connections[slot].socket == source.socket
      && mayChallenge(slot)
  }

  /// Whether a change that is at hand makes way for one to another address.
  private func isOver(
    _ change: PathChange, _ source: DatagramSource, at now: Instant
  ) -> Bool {
    change.source.remote != source.remote && !change.isProven && !change.isRefused
      && change.isDecided(at: now)
  }

  /// Whether the source prefix of another address has a place for a session, or it is the same one.
  private func hasPlace(_ slot: Int, at ip: IPAddress) -> Bool {
    guard ip.sourcePrefix != connections[slot].remote.ip.sourcePrefix,
      let state = connections[Int(connections[slot].listener)].listenerState
    else { return true }
    return state.hasRoom(for: ip)
  }

  private mutating func beginChange(
    _ slot: Int, _ bytes: Int, _ source: DatagramSource, at now: Instant
  ) {
    guard hasPlace(slot, at: source.remote.ip) else { return counters.drop(.prefixFull) }
    forgetChange(slot)
    var change = PathChange(
      source: source, newToken: random.word(), oldToken: random.word(), patience: patience(slot),
      challengedAt: now)
    change.received = bytes
    pathChanges.begin(change, slot)
    challengeBoth(slot, at: now)
  }

  private func patience(_ slot: Int) -> Interval {
    let known = connections[slot].traffic?.smoothedRoundTrip ?? connections[slot].roundTrip
    let trips = (known ?? Interval(nanoseconds: 0)) * 3
    return min(max(trips, PathChange.leastPatience), PathChange.mostPatience)
  }

  /// Asks both addresses, the old one only in its time; and again after a while.
  private mutating func challengeBoth(_ slot: Int, at now: Instant) {
    guard var change = pathChanges[slot] else { return }
    if !change.isProven, change.mayChallenge {
      change.sent += PathChange.challengeSize
      change.challenges += 1
      change.challengedAt = now
      answer(
        .pathChallenge(change.newToken), session: connections[slot].peerSession, change.source)
    }
    let isDecided = change.isDecided(at: now)
    if !isDecided {
      sendControl(
        .pathChallenge(change.oldToken), session: connections[slot].sendSession, slot)
    }
    pathChanges[slot] = change
    let limit = (isDecided ? change.ends : change.decides) ?? now + PathChange.gap
    armChange(slot, at: min(now + PathChange.gap, limit))
  }

  private mutating func armChange(_ slot: Int, at time: Instant) {
    guard var change = pathChanges[slot] else { return }
    timers.cancel(&change.timer)
    change.timer = timers.schedule(.pathChange, slot, at: time)
    pathChanges[slot] = change
  }

  /// - Parameter drainedAt: Up to when all that came has been read. Who answered in time is heard,
  ///   however late the loop comes to read it.
  mutating func changeTimer(_ slot: Int, at now: Instant, drainedAt: Instant) {
    pathChanges[slot]?.timer = .none
    guard let change = pathChanges[slot] else { return }
    if change.isDecided(at: now), !change.isDecided(at: drainedAt) {
      return armChange(slot, at: now + PathChange.lookGap)
    }
    guard !settleChange(slot, at: now) else { return }
    challengeBoth(slot, at: now)
  }

  /// Ends a change if it is decided; false if it is not.
  private mutating func settleChange(_ slot: Int, at now: Instant) -> Bool {
    guard let change = pathChanges[slot], change.isDecided(at: now) else { return false }
    if change.isRefused || isThere(slot, change) || change.isOver(at: now) {
      forgetChange(slot)
    } else if change.isProven, !hasPlace(slot, at: change.source.remote.ip) {
      counters.drop(.prefixFull)
      forgetChange(slot)
    } else if change.isProven {
      move(slot, change, at: now)
    } else {
      return false
    }
    return true
  }

  /// Whether the peer was heard from at its old address when nothing that was on its way before the
  /// change can have come any more.
  private func isThere(_ slot: Int, _ change: PathChange) -> Bool {
    guard let askedAt = change.askedAt else { return true }
    return connections[slot].lastHeard > askedAt + change.patience / 2
  }

  /// A path response on the path of a session; whether it has answered a change of address.
  mutating func refusesChange(_ token: UInt64, _ slot: Int) -> Bool {
    guard let change = pathChanges[slot], token == change.oldToken else { return false }
    // Kept to its end, so that nobody can ask for change after change.
    pathChanges[slot]?.isRefused = true
    return true
  }

  mutating func forgetChange(_ slot: Int) {
    guard var change = pathChanges[slot] else { return }
    timers.cancel(&change.timer)
    pathChanges[slot] = nil
  }

  // MARK: The move

  private mutating func move(_ slot: Int, _ change: PathChange, at now: Instant) {
    forgetChange(slot)
    let (old, new) = (connections[slot].remote, change.source.remote)
    if let state = connections[Int(connections[slot].listener)].listenerState {
      state.prefixes.remove(old.ip)
      state.prefixes.add(new.ip)
    }
    connections[slot].remote = new
    connections[slot].local = change.source.local
    connections[slot].lastHeard = now
    connections[slot].flags.remove(.suspect)
    restartPath(slot, isOtherHost: old.ip != new.ip, change.roundTrip, at: now)
  }

  /// What is known of the old path says nothing of the new one, unless only the port is another: then
  /// it is the same way through a NAT (RFC 9000 section 9.4). What is on its way was sent to where
  /// nobody is.
  private mutating func restartPath(
    _ slot: Int, isOtherHost: Bool, _ roundTrip: Interval?, at now: Instant
  ) {
    if isOtherHost { connections[slot].forgetRoundTrip() }
    if let traffic = connections[slot].traffic {
      if isOtherHost {
        traffic.roundTrip = RoundTrip()
        traffic.replyTimer = ReplyTimer()
      }
      traffic.outbox?.recovery.moved(toOtherHost: isOtherHost, at: now)
    }
    if let roundTrip { sampleRoundTrip(slot, roundTrip) }
    if connections[slot].traffic?.outbox != nil { makeReady(slot) }
  }
}

extension Traffic {
  /// The round trip as far as it is known; nil if it is not.
  fileprivate var smoothedRoundTrip: Interval? {
    if let known = outbox?.recovery.roundTrip, known.isSampled { return known.smoothed }
    return roundTrip.isSampled ? roundTrip.smoothed : nil
  }
}
