/// Messages, requests and replies that came: matching them, and telling of them.
extension Endpoint {
  /// A message that is complete, of a connection that is open. `isTracked` says that it came in
  /// datagrams that are acknowledged, so that nothing of it is sent again for want of an answer.
  mutating func receiveMessage(
    _ kind: PacketKind, _ header: PacketHeader, messageID: UInt32?, payload: Payload,
    _ slot: Int, isTracked: Bool, at now: Instant
  ) {
    switch kind {
    case .oneWay, .reliable:
      tell(.message, slot, payload)
    case .request:
      let request = take(
        request: header.replyID, messageID, isWhole: header.numPackets == 1, slot, traffic(slot),
        isTracked: isTracked, at: now)
      if let request { tell(.request, slot, payload, word: request) }
    case .reply:
      let context = take(reply: header.replyID, messageID, slot, traffic(slot), at: now)
      if let context { tell(.reply, slot, payload, word: context) }
    default:
      drop(.kind, slot)
    }
  }

  /// Takes in a request or a reply that came whole, and tells of it, if nobody counts what waits; the
  /// caller counts that it came. False if there is nothing to tell.
  @inline(__always)
  mutating func receiveFreely(
    isRequest: Bool, _ replyID: UInt16, _ messageID: UInt32, _ payload: Payload, _ slot: Int,
    at now: Instant
  ) -> Bool {
    if connections[slot].traffic == nil { makeTraffic(slot) }
    guard let traffic = unsafe borrowedTraffic(slot) else { return false }
    let word = unsafe traffic._withUnsafeGuaranteedRef {
      isRequest
        ? takeWhole(request: replyID, messageID, slot, $0, at: now)
        : takeWhole(reply: replyID, messageID, slot, $0, at: now)
    }
    guard let word else { return false }
    events.append(
      WaitingEvent(
        word: word, slot: UInt32(truncatingIfNeeded: slot), payload: payload,
        kind: isRequest ? .request : .reply))
    return true
  }

  @inline(never)
  private mutating func takeWhole(
    request replyID: UInt16, _ messageID: UInt32, _ slot: Int, _ traffic: Traffic, at now: Instant
  ) -> UInt64? {
    take(
      request: replyID, messageID, isWhole: true, slot, traffic, isTracked: arriving != nil,
      at: now)
  }

  @inline(never)
  private mutating func takeWhole(
    reply replyID: UInt16, _ messageID: UInt32, _ slot: Int, _ traffic: Traffic, at now: Instant
  ) -> UInt64? {
    take(reply: replyID, messageID, slot, traffic, at: now)
  }

  /// Tells of a message that came. `word` is the `RequestWord` of a request, the context of a reply's get.
  mutating func tell(_ kind: EventKind, _ slot: Int, _ payload: Payload, word: UInt64 = 0) {
    count(1, bytes: payload.count, slot)
    if keepsMessages { messageWaits(slot, bytes: payload.count) }
    if payload.place == .owned { eventBytes.append(takeWhole()) }
    events.append(
      WaitingEvent(
        word: word, slot: UInt32(truncatingIfNeeded: slot), payload: payload, kind: kind))
  }

  /// Counts messages that came.
  @inline(__always)
  mutating func count(_ messages: Int, bytes: Int, _ slot: Int) {
    connections[slot].messagesReceived &+= UInt64(messages)
    connections[slot].bytesReceived &+= UInt64(bytes)
    connections[slot].traffic?.idleBeats = 0
    counters.messagesReceived &+= UInt64(messages)
    if connections[slot].flags.contains(.onDemand) {
      messageMoved(slot, traffic(slot), isOurs: false, at: connections[slot].lastHeard)
    }
  }

  // MARK: Replies

  /// The slot of the get that waits for a reply with these numbers.
  @inline(__always)
  func waitingGet(_ replyID: UInt16, _ messageID: UInt32?, _ traffic: Traffic) -> Int? {
    guard let index = traffic.replyIDs.get(replyID),
      gets[index].messageID == nil || gets[index].messageID == messageID
    else { return nil }
    return index
  }

  /// Takes in a reply that is to be told of: returns the context of its get, which has ended; nil if
  /// none waits for it.
  @inline(__always)
  mutating func take(
    reply replyID: UInt16, _ messageID: UInt32?, _ slot: Int, _ traffic: Traffic, at now: Instant
  ) -> UInt64? {
    guard let index = waitingGet(replyID, messageID, traffic) else {
      drop(.staleReply, slot)
      return nil
    }
    // Of a request that was sent twice nobody knows which copy was answered (Karn), and how long
    // many packets take says nothing of one.
    if gets[index].maySendAgain, gets[index].sendings == 1, !gets[index].hasPartOfReply {
      traffic.replyTimer.sample(now.since(gets[index].sentAt))
    }
    if gets[index].isTracked, let messageID { settleRequest(messageID, slot, traffic) }
    let context = gets[index].context
    removeGet(index, traffic)
    return UInt64(context)
  }

  /// A reply says that its request arrived, whatever became of the acknowledgements.
  @inline(never)
  private mutating func settleRequest(_ messageID: UInt32, _ slot: Int, _ traffic: Traffic) {
    guard let outbox = traffic.outbox else { return }
    outbox.settleRequest(messageID)
    takeOutcomes(slot, traffic, outbox)
  }
}
