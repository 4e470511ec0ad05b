/// What must arrive over UDP: it is sent in numbered datagrams until it is acknowledged (notes.md
/// 6; RFC 9002).
extension Endpoint {
  // MARK: Sending

  /// Hands a message that counts as queued to the outbox of its connection. `shared` is the same
  /// message, if there is an array of it.
  mutating func putIntoOutbox(
    _ head: MessageHead, _ message: Span<UInt8>, shared: MessageBytes?, _ slot: Int,
    _ traffic: Traffic, _ options: SendOptions, deadline: Instant, at now: Instant
  ) {
    let outbox = traffic.outbox ?? makeOutbox(slot, traffic, at: now)
    var head = head
    if head.kind == .oneWay {
      head.kind = .reliable
      head.messageID = takeMessageID(traffic)
    }
    outbox.append(head, message, shared: shared, options, deadline: deadline)
    takeOutcomes(slot, traffic, outbox)
    makeReady(slot)
  }

  private func makeOutbox(_ slot: Int, _ traffic: Traffic, at now: Instant) -> Outbox {
    let outbox = Outbox(
      now: now, pool: outboxPool, firstNumber: configuration.firstNumber)
    if traffic.roundTrip.isSampled { outbox.recovery.sampleRoundTrip(traffic.roundTrip.smoothed) }
    traffic.outbox = outbox
    return outbox
  }

  /// The next numbered datagram of a connection; nil if there is nothing to put into one, or its
  /// path takes no more now.
  mutating func nextTracked(_ slot: Int, _ traffic: Traffic, at now: Instant) -> PackedDatagram? {
    guard let outbox = traffic.outbox, outbox.hasWork || outbox.recovery.probesOwed > 0,
      outbox.recovery.maySend(at: now)
    else { return nil }
    let session = connections[slot].sendSession
    var builder = DatagramBuilder(buffer: takeBuffer())
    builder.beginNumbered(
      UInt32(truncatingIfNeeded: outbox.recovery.nextNumber), session: session)
    let filling = outbox.fill(&builder, session: session, at: now)
    takeOutcomes(slot, traffic, outbox)
    guard filling.hasAny || outbox.recovery.probesOwed > 0 else {
      giveBack(builder.seal())
      return nil
    }
    append(owedAckOf: traffic, to: &builder, session, at: now)
    let datagram = builder.seal()
    outbox.recovery.sent(
      bytes: datagram.count, isLimitedByApplication: !filling.hasMore, at: now)
    if connections[slot].flags.contains(.onDemand),
      traffic.firstUnanswered <= connections[slot].lastHeard
    {
      messageMoved(slot, traffic, isOurs: true, at: now)
    }
    // Who always has something else to send never comes to the end of its turn.
    if traffic.recoveryTimer == .none { armRecovery(slot, traffic, at: now) }
    return datagram
  }

  // MARK: Acknowledgements

  /// An ack of the peer.
  mutating func receiveAck(_ packet: Packet, _ datagram: Span<UInt8>, _ slot: Int, at now: Instant)
  {
    guard var reader = AckReader(datagram, packet.payload) else {
      drop(.malformed, slot)
      return
    }
    let delay = Interval(nanoseconds: UInt64(reader.delay) * WireFormat.ackDelayUnit)
    guard let traffic = connections[slot].traffic, let outbox = traffic.outbox,
      outbox.recovery.beginAck(largest: reader.largest, delay: delay, at: now)
    else {
      drop(.staleAck, slot)
      return
    }
    while let range = reader.next(datagram) {
      outbox.recovery.acknowledge(first: range.first, last: range.last)
    }
    outbox.recovery.endAck(at: now)
    settleRecovery(slot, traffic, outbox, at: now)
  }

  /// Takes what recovery has decided: what arrived is told, what was lost makes the connection
  /// ready.
  private mutating func settleRecovery(
    _ slot: Int, _ traffic: Traffic, _ outbox: Outbox, at now: Instant
  ) {
    while let frame = outbox.recovery.takeAcked() { outbox.acknowledge(frame) }
    takeOutcomes(slot, traffic, outbox)
    armRecovery(slot, traffic, at: now)
    makeReady(slot)
  }

  /// Tells what has become of messages of the outbox.
  mutating func takeOutcomes(_ slot: Int, _ traffic: Traffic, _ outbox: Outbox) {
    guard outbox.doneMessages > 0 || !outbox.outcomes.isEmpty else { return }
    release(traffic, messages: outbox.doneMessages, bytes: outbox.doneBytes)
    outbox.doneMessages = 0
    outbox.doneBytes = 0
    while let outcome = outbox.outcomes.popFirst() {
      if outcome.status == .expired { drop(.expired, slot) }
      if outcome.status == .superseded { drop(.superseded, slot) }
      tellOutcome(outcome.options, outcome.status, slot)
    }
    tellWritable(slot)
  }

  /// Tells of the outcome of one send, if it asked for that.
  mutating func tellOutcome(_ options: SendOptions, _ status: Status, _ slot: Int) {
    guard options.wantsOutcome else { return }
    emit(
      status == .ok ? .delivered : .undelivered, slot, status, getContext: options.context)
  }

  // MARK: The timer of losses, probes and pacing

  mutating func armRecovery(_ slot: Int, _ traffic: Traffic, at now: Instant) {
    guard let outbox = traffic.outbox else { return }
    var due = outbox.recovery.deadline
    if outbox.hasWork, let paced = outbox.recovery.pacedUntil(at: now) {
      due = min(due ?? paced, paced)
    }
    guard let due else { return }
    // A timer that fires early only looks again: cheaper than to move it with each ack.
    if traffic.recoveryTimer != .none, traffic.recoveryDue <= due { return }
    timers.cancel(&traffic.recoveryTimer)
    traffic.recoveryDue = due
    // Never at once, or timers could keep each other due without end.
    traffic.recoveryTimer = timers.schedule(
      .recovery, slot, at: max(due, now + Interval(nanoseconds: 1)))
  }

  mutating func recoveryTimer(_ slot: Int, at now: Instant) {
    guard let traffic = connections[slot].traffic, let outbox = traffic.outbox else { return }
    traffic.recoveryTimer = .none
    if let deadline = outbox.recovery.deadline, deadline <= now {
      outbox.recovery.timeout(at: now)
      if outbox.recovery.outstanding == 0 { outbox.shrink() }
    }
    settleRecovery(slot, traffic, outbox, at: now)
  }
}
