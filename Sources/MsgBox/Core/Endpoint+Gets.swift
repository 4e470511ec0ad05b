/// Gets of ours that wait: their ids, their time-outs, and sending them again.
extension Endpoint {
  /// Payload buffers of gets that are kept for later ones.
  private static let maxSpareGetBytes = 1024

  /// Queues a request, and begins to wait for its reply.
  mutating func get(
    _ message: Span<UInt8>, _ slot: Int, context: UInt, timeout: Interval?, at now: Instant
  ) -> Result<Handle, Status> {
    let traffic = traffic(slot)
    let isImplicit = connections[slot].flags.contains(.implicit)
    guard gets.hasRoom, let replyID = freeReplyID(traffic, at: now) else { return .failure(.busy) }
    let messageID = isImplicit ? nil : traffic.nextMessageID
    let head = MessageHead(kind: .request, replyID: replyID, messageID: messageID)
    let status = queue(head, message, slot, at: now)
    guard status == .ok else { return .failure(status) }
    traffic.lastReplyID = replyID
    if !isImplicit { traffic.nextMessageID &+= 1 }
    var get = WaitingGet(
      connection: UInt32(slot), replyID: replyID, messageID: messageID, context: context)
    get.deadline = now + (timeout ?? options(slot).getTimeout)
    let isSingle = message.count <= singlePacketRoom(slot, head)
    get.isTracked = connections[slot].transport == .udp && !isSingle
    get.maySendAgain = connections[slot].transport == .udp && isSingle && !isImplicit
    guard let index = gets.insert(get) else { return .failure(.busy) }
    traffic.replyIDs.add(replyID, get: index)
    gets.append(index, to: &traffic.waitingGets)
    if get.maySendAgain { keep(message, of: index) }
    if connections[slot].phase == .open {
      requestLeft(index, slot, traffic, at: now)
    } else {
      gets[index].timer = timers.schedule(.get, index, at: get.deadline)
    }
    return .success(
      Handle(box: configuration.box, slot: index, generation: gets.generation(index)))
  }

  /// The next reply id that is neither 0 nor in use.
  private func freeReplyID(_ traffic: Traffic, at now: Instant) -> UInt16? {
    if !traffic.quarantined.isEmpty {
      releaseQuarantine(traffic, olderThan: .seconds(30), at: now)
      if traffic.replyIDs.count + traffic.quarantined.count >= Int(UInt16.max) {
        releaseQuarantine(traffic, olderThan: .seconds(5), at: now, atMost: 1)
      }
      guard traffic.replyIDs.count + traffic.quarantined.count < Int(UInt16.max) else {
        return nil
      }
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

  // MARK: Sending again

  /// Keeps the payload of a request for the slot of its get.
  private mutating func keep(_ message: Span<UInt8>, of index: Int) {
    while getBytes.count <= index { getBytes.append([]) }
    var buffer = spareGetBytes.popLast() ?? []
    buffer.removeAll(keepingCapacity: true)
    buffer.append(bytes: message)
    getBytes[index] = buffer
  }

  private mutating func releaseBytes(of index: Int) {
    var buffer: [UInt8] = []
    swap(&buffer, &getBytes[index])
    if spareGetBytes.count < Self.maxSpareGetBytes { spareGetBytes.append(buffer) }
  }

  /// A request was handed to what sends it: from here on its reply is waited for.
  mutating func requestLeft(_ index: Int, _ slot: Int, _ traffic: Traffic, at now: Instant) {
    gets[index].sentAt = now
    gets[index].sendings = 1
    gets[index].firstAttempt = UInt8(clamping: traffic.replyTimer.firstAttempt)
    gets[index].datagram = traffic.openDatagram
    armGet(index, traffic, at: now)
  }

  private mutating func armGet(_ index: Int, _ traffic: Traffic, at now: Instant) {
    let get = gets[index]
    var due = get.deadline
    if get.maySendAgain, !get.hasPartOfReply {
      let attempt = Int(get.firstAttempt) + Int(get.sendings) - 1
      due = min(due, now + traffic.replyTimer.timeout(attempt: attempt))
    }
    timers.cancel(&gets[index].timer)
    gets[index].timer = timers.schedule(.get, index, at: due)
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
    let bytes = getBytes[index]
    pack(head, bytes.span, slot, traffic, counts: false, at: now)
    gets[index].sendings = get.sendings == .max ? .max : get.sendings + 1
    gets[index].datagram = traffic.openDatagram
    traffic.resent &+= 1
  }

  // MARK: Outcomes

  mutating func removeGet(_ index: Int) {
    timers.cancel(&gets[index].timer)
    let get = gets[index]
    if let traffic = connections[Int(get.connection)].traffic {
      traffic.replyIDs.remove(get.replyID)
      gets.unlink(index, from: &traffic.waitingGets)
    }
    if get.maySendAgain { releaseBytes(of: index) }
    gets.remove(index)
  }

  /// A get ends without its reply.
  mutating func failGet(_ index: Int, _ status: Status) {
    let get = gets[index]
    removeGet(index)
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
