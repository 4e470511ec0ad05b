/// Gets of ours that wait: their ids, their time-outs, and sending them again.
extension Endpoint {
  /// Queues a request, and begins to wait for its reply.
  mutating func get(
    _ message: Span<UInt8>, _ slot: Int, context: UInt, timeout: Interval?, at now: Instant
  ) -> Result<Handle, Status> {
    if connections[slot].traffic == nil { makeTraffic(slot) }
    guard let traffic = unsafe borrowedTraffic(slot) else { return .failure(.ended) }
    return unsafe traffic._withUnsafeGuaranteedRef {
      get(message, slot, $0, context: context, timeout: timeout, at: now)
    }
  }

  @inline(never)
  private mutating func get(
    _ message: Span<UInt8>, _ slot: Int, _ traffic: Traffic, context: UInt, timeout: Interval?,
    at now: Instant
  ) -> Result<Handle, Status> {
    let isImplicit = connections[slot].flags.contains(.implicit)
    guard gets.hasRoom, let replyID = freeReplyID(traffic, at: now) else { return .failure(.busy) }
    let messageID = isImplicit ? nil : traffic.nextMessageID
    let head = MessageHead(kind: .request, replyID: replyID, messageID: messageID)
    let hasJoined = join(head, message, slot, traffic)
    if !hasJoined, !write(head, message, slot, traffic) {
      let status = queue(head, message, slot, traffic, at: now)
      guard status == .ok else { return .failure(status) }
    }
    traffic.lastReplyID = replyID
    if !isImplicit { traffic.nextMessageID &+= 1 }
    var get = WaitingGet(
      connection: UInt32(truncatingIfNeeded: slot), replyID: replyID, messageID: messageID,
      context: context)
    get.deadline = now + (timeout ?? traffic.getTimeout)
    if hasJoined {
      get.maySendAgain = true
    } else if connections[slot].transport == .udp {
      get.isTracked = message.count > singlePacketRoom(slot, head)
      get.maySendAgain = !get.isTracked && !isImplicit
    }
    if hasJoined || connections[slot].phase == .open { Self.left(&get, traffic, at: now) }
    get.due = due(get, traffic, at: now)
    guard let index = gets.insert(get, to: &traffic.waitingGets) else { return .failure(.busy) }
    traffic.replyIDs.add(replyID, get: index)
    if get.maySendAgain { getPayloads.keep(message, of: index) }
    time(index, due: get.due, slot, traffic)
    return .success(
      Handle(box: configuration.box, slot: index, generation: gets.generation(index)))
  }

  /// The next reply id that is neither 0 nor in use.
  @inline(__always)
  private func freeReplyID(_ traffic: Traffic, at now: Instant) -> UInt16? {
    if traffic.quarantined.isEmpty { return traffic.replyIDs.next(after: traffic.lastReplyID) }
    return freeReplyIDBesideQuarantine(traffic, at: now)
  }

  @inline(never)
  private func freeReplyIDBesideQuarantine(_ traffic: Traffic, at now: Instant) -> UInt16? {
    releaseQuarantine(traffic, olderThan: .seconds(30), at: now)
    if traffic.replyIDs.count + traffic.quarantined.count >= Int(UInt16.max) {
      releaseQuarantine(traffic, olderThan: .seconds(5), at: now, atMost: 1)
    }
    guard traffic.replyIDs.count + traffic.quarantined.count < Int(UInt16.max) else {
      return nil
    }
    return traffic.replyIDs.next(after: traffic.lastReplyID, reserved: traffic.quarantined)
  }

  /// Frees the ids whose late replies are no longer to be feared.
  private func releaseQuarantine(
    _ traffic: Traffic, olderThan age: Interval, at now: Instant, atMost limit: Int = .max
  ) {
    var released = 0
    while released < limit, let oldest = traffic.quarantine.first, now.since(oldest.since) >= age {
      _ = traffic.quarantine.popFirst()
      traffic.quarantined.remove(oldest.replyID)
      released += 1
    }
  }

  // MARK: When they are looked at

  // Gets are asked with much the same patience one after the other, and most are answered long
  // before it ends. So those that are due in the order of asking have one timer together, at the
  // time of the first of them, or of one that was answered since; any other has its own.

  /// Sees to it that a get, the last of its connection's, is looked at when it is due.
  @inline(__always)
  private mutating func time(_ index: Int, due: Instant, _ slot: Int, _ traffic: Traffic) {
    let isFirst = traffic.firstUntimed == ConnectionRecord.noSlot
    guard isFirst || due >= traffic.untimedDue else {
      gets[index].timer = timers.schedule(.get, index, at: due)
      return
    }
    if isFirst { traffic.firstUntimed = UInt32(truncatingIfNeeded: index) }
    traffic.untimedDue = due
    if traffic.getsTimer == .none || isFirst && traffic.getsTimerIsOff(due) {
      armGets(slot, traffic, at: due)
    }
  }

  @inline(never)
  private mutating func armGets(_ slot: Int, _ traffic: Traffic, at due: Instant) {
    timers.cancel(&traffic.getsTimer)
    traffic.getsTimerDue = due
    traffic.getsTimer = timers.schedule(.gets, slot, at: due)
  }

  /// A get ends, or gets a timer of its own: another is the first of those that have none.
  @inline(__always)
  private func passUntimed(_ index: Int, _ traffic: Traffic) {
    guard traffic.firstUntimed == UInt32(truncatingIfNeeded: index) else { return }
    var next = gets[index].links.next
    while next != ConnectionRecord.noSlot, gets[Int(next)].timer != .none {
      next = gets[Int(next)].links.next
    }
    traffic.firstUntimed = next
  }

  /// Looks at the gets without timers of their own that are due.
  mutating func getsTimer(_ slot: Int, at now: Instant) {
    guard let traffic = connections[slot].traffic else { return }
    traffic.getsTimer = .none
    while traffic.firstUntimed != ConnectionRecord.noSlot {
      let first = Int(traffic.firstUntimed)
      guard gets[first].due <= now else {
        return armGets(slot, traffic, at: gets[first].due)
      }
      passUntimed(first, traffic)
      getTimer(first, at: now)
    }
  }

  /// A request that waited for its connection was handed to what sends it: from here on its reply
  /// is waited for.
  mutating func requestLeft(_ index: Int, _ slot: Int, _ traffic: Traffic, at now: Instant) {
    Self.left(&gets[index], traffic, at: now)
    armGet(index, traffic, at: now)
  }

  /// A request was packed, or handed to the outbox or the stream.
  @inline(__always)
  private static func left(_ get: inout WaitingGet, _ traffic: Traffic, at now: Instant) {
    get.sentAt = now
    get.sendings = 1
    get.firstAttempt = UInt8(clamping: traffic.replyTimer.firstAttempt)
    get.datagram = traffic.openDatagram
  }

  /// When a get is to be looked at: to be given up, or to be sent again.
  @inline(__always)
  private func due(_ get: WaitingGet, _ traffic: Traffic, at now: Instant) -> Instant {
    guard get.sendings > 0, get.maySendAgain, !get.hasPartOfReply else { return get.deadline }
    let attempt = Int(get.firstAttempt) + Int(get.sendings) - 1
    return min(get.deadline, now + traffic.replyTimer.timeout(attempt: attempt))
  }

  /// Gives a get a timer of its own, at its next time.
  private mutating func armGet(_ index: Int, _ traffic: Traffic, at now: Instant) {
    passUntimed(index, traffic)
    timers.cancel(&gets[index].timer)
    gets[index].due = due(gets[index], traffic, at: now)
    gets[index].timer = timers.schedule(.get, index, at: gets[index].due)
  }

  /// A get has waited long enough for its reply, or to be sent again.
  mutating func getTimer(_ index: Int, at now: Instant) {
    gets[index].timer = .none
    let get = gets[index]
    let slot = Int(get.connection)
    guard now < get.deadline, let traffic = connections[slot].traffic else {
      return getTimedOut(index, at: now)
    }
    if isToBeSentAgain(get, slot, traffic) { sendAgain(index, slot, traffic, at: now) }
    armGet(index, traffic, at: now)
  }

  // MARK: Sending again

  /// Whether another copy of a request may help: not of one that the system has not taken yet, nor
  /// while it takes nothing, nor if the reply is coming.
  private func isToBeSentAgain(_ get: WaitingGet, _ slot: Int, _ traffic: Traffic) -> Bool {
    guard get.maySendAgain, !get.hasPartOfReply, connections[slot].phase == .open else {
      return false
    }
    let hasLeft = Int32(bitPattern: traffic.datagramsTaken &- get.datagram) > 0
    return hasLeft && !sockets[Int(connections[slot].socket.rawValue)].isBlocked
  }

  private mutating func sendAgain(
    _ index: Int, _ slot: Int, _ traffic: Traffic, at now: Instant
  ) {
    let get = gets[index]
    let head = MessageHead(kind: .request, replyID: get.replyID, messageID: get.messageID)
    getPayloads.read(index, into: &repeated)
    packRepeated(head, slot, traffic, at: now)
    gets[index].sendings = get.sendings == .max ? .max : get.sendings + 1
    gets[index].datagram = traffic.openDatagram
  }

  // MARK: Outcomes

  @inline(__always)
  mutating func removeGet(_ index: Int, _ traffic: Traffic) {
    if gets[index].timer == .none {
      passUntimed(index, traffic)
    } else {
      timers.cancel(&gets[index].timer)
    }
    traffic.replyIDs.remove(gets[index].replyID)
    if gets[index].maySendAgain { getPayloads.release(index) }
    gets.remove(index, from: &traffic.waitingGets)
  }

  /// A get ends without its reply.
  mutating func failGet(_ index: Int, _ status: Status) {
    let get = gets[index]
    guard let traffic = connections[Int(get.connection)].traffic else { return }
    removeGet(index, traffic)
    emit(.replyMissing, Int(get.connection), status, getContext: get.context)
  }

  /// Nobody waits for a get any more: what is left of it is not sent, what comes of its reply not
  /// kept.
  private mutating func abandonGet(_ index: Int, _ status: Status) {
    let get = gets[index]
    if let traffic = connections[Int(get.connection)].traffic, let messageID = get.messageID {
      if get.isTracked, let outbox = traffic.outbox {
        outbox.settleRequest(messageID)
        takeOutcomes(Int(get.connection), traffic, outbox)
      }
      traffic.reassembly?.remove(FragmentKey(kind: .reply, messageID: messageID))
      hold(traffic)
    }
    failGet(index, status)
  }

  private mutating func getTimedOut(_ index: Int, at now: Instant) {
    quarantine(gets[index], at: now)
    abandonGet(index, .timedOut)
  }

  /// The reply to a get that is given up may still come; without a message id it would pass for that
  /// to the next get with the same reply id.
  private func quarantine(_ get: WaitingGet, at now: Instant) {
    guard get.messageID == nil, let traffic = connections[Int(get.connection)].traffic else {
      return
    }
    traffic.quarantine.append(QuarantinedID(replyID: get.replyID, since: now))
    traffic.quarantined.insert(get.replyID)
  }

  /// Ends a get of ours: `replyMissing` with `cancelled` follows.
  package mutating func cancel(get: Handle, at now: Instant) -> Status {
    guard get.box == configuration.box, gets.contains(get.slot, generation: get.generation) else {
      return .badHandle
    }
    quarantine(gets[get.slot], at: now)
    abandonGet(get.slot, .cancelled)
    return .ok
  }

  mutating func failAllGets(_ slot: Int, _ status: Status) {
    guard let traffic = connections[slot].traffic else { return }
    while let first = traffic.waitingGets.first { failGet(first, status) }
  }
}

extension Traffic {
  /// Whether the timer of gets would come too late for one that is due then, or long before it. A
  /// timer that is due soon costs each wait of the loop more than arming another one does: the
  /// system sets the machine's timer for what is due before its next tick, which may be 4 ms away.
  fileprivate func getsTimerIsOff(_ due: Instant) -> Bool {
    due < getsTimerDue || due.since(getsTimerDue) > .milliseconds(8)
  }
}
