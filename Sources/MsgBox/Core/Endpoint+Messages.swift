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
      receiveRequest(
        header, messageID: messageID, payload: payload, slot, isTracked: isTracked, at: now)
    case .reply:
      receiveReply(header, messageID: messageID, payload: payload, slot, at: now)
    default:
      drop(.kind, slot)
    }
  }

  /// Tells of a message that came. `word` is the handle of a request, the context of a reply's get.
  mutating func tell(_ kind: EventKind, _ slot: Int, _ payload: Payload, word: UInt64 = 0) {
    count(1, bytes: payload.count, slot)
    if keepsMessages { messageWaits(slot, bytes: payload.count) }
    if payload.place == .owned { eventBytes.append(takeWhole()) }
    events.append(
      WaitingEvent(
        word: word, slot: UInt32(truncatingIfNeeded: slot), payload: payload, kind: kind))
  }

  /// Counts messages that came.
  mutating func count(_ messages: Int, bytes: Int, _ slot: Int) {
    connections[slot].messagesReceived &+= UInt64(messages)
    connections[slot].bytesReceived &+= UInt64(bytes)
    connections[slot].traffic?.idleBeats = 0
    counters.messagesReceived &+= UInt64(messages)
    if connections[slot].flags.contains(.onDemand) {
      messageMoved(slot, traffic(slot), isOurs: false, at: connections[slot].lastHeard)
    }
  }

  // MARK: Requests

  private mutating func receiveRequest(
    _ header: PacketHeader, messageID: UInt32?, payload: Payload, _ slot: Int,
    isTracked: Bool, at now: Instant
  ) {
    let isImplicit = connections[slot].flags.contains(.implicit)
    guard header.replyID != 0, isImplicit || messageID != nil else {
      return drop(.malformed, slot)
    }
    let traffic = traffic(slot)
    let isNumbered = connections[slot].transport == .udp && !isImplicit
    // One of several packets was new when the first of them came.
    if isNumbered, header.numPackets == 1, let messageID,
      traffic.requestWindow?.contains(messageID) == true
    {
      return repeatReply(header.replyID, messageID, slot, traffic, at: now)
    }
    guard makeRoom(forRequestOf: slot, traffic, isTracked: isTracked) else {
      return refuse(.requestsFull, slot)
    }
    let request = OpenRequest(
      connection: UInt32(slot), replyID: header.replyID,
      messageID: isImplicit ? nil : messageID,
      isTracked: isTracked && !isImplicit)
    guard let index = requests.insert(request) else { return refuse(.requestsFull, slot) }
    if isNumbered, let messageID {
      if traffic.requestWindow == nil {
        traffic.requestWindow = RequestWindow(startingWith: messageID, at: now)
      }
      _ = traffic.requestWindow?.insert(messageID, at: now)
    }
    requests.append(index, to: &traffic.openRequests)
    let handle = Handle(
      box: configuration.box, slot: index, generation: requests.generation(index))
    tell(.request, slot, payload, word: handle.rawValue)
  }

  /// Makes room for one more open request of a connection.
  ///
  /// A peer has at most 65535 ids in use, so the oldest of more than that is one it has given up. If
  /// the box is full, of a few connections drawn by what they hold, the one that holds most loses its
  /// oldest: it is drawn almost surely, and what it holds is old, or it would not hold so much. A
  /// request that comes in datagrams that are acknowledged cannot come again, so at worst it takes
  /// the place of an older one of its own.
  private mutating func makeRoom(
    forRequestOf slot: Int, _ traffic: Traffic, isTracked: Bool
  ) -> Bool {
    let own = traffic.openRequests
    if own.count >= Int(UInt16.max) { return giveUpOldest(slot, own) }
    if requests.hasRoom { return true }
    guard let holder = drawLargestHolder(), let held = connections[holder].traffic?.openRequests
    else { return false }
    if held.count > own.count + 1 { return giveUpOldest(holder, held) }
    guard isTracked else { return false }
    return own.count > 0 ? giveUpOldest(slot, own) : giveUpOldest(holder, held)
  }

  private mutating func giveUpOldest(_ slot: Int, _ list: SlotList) -> Bool {
    guard let oldest = list.first else { return false }
    drop(.requestsFull, slot)
    removeRequest(oldest)
    return true
  }

  /// Of the connections of eight open requests that are drawn, when all slots are taken, the one
  /// that has most.
  private mutating func drawLargestHolder() -> Int? {
    let slots = UInt64(requests.slots.count)
    guard slots > 0 else { return nil }
    var largest: (slot: Int, count: Int)?
    for _ in 0..<8 {
      let drawn = Int(truncatingIfNeeded: random.below(slots))
      guard requests.isLive(drawn) else { continue }
      let slot = Int(requests[drawn].connection)
      let count = connections[slot].traffic?.openRequests.count ?? 0
      if count > largest?.count ?? 0 { largest = (slot, count) }
    }
    return largest?.slot
  }

  /// A request came again: its reply is sent again, if it is made and kept.
  private mutating func repeatReply(
    _ replyID: UInt16, _ messageID: UInt32, _ slot: Int, _ traffic: Traffic, at now: Instant
  ) {
    drop(.duplicate, slot)
    // Behind a socket that takes nothing copies would only pile up: the peer asks again.
    guard !sockets[Int(connections[slot].socket.rawValue)].isBlocked,
      traffic.replyCache?.take(
        messageID: messageID, replyID: replyID, at: now, into: &repeated) == .reply
    else { return }
    traffic.resent &+= 1
    let head = MessageHead(kind: .reply, replyID: replyID, messageID: messageID)
    let bytes = repeated
    pack(head, bytes.span, slot, traffic, counts: false, at: now)
  }

  /// Keeps a reply that was just queued, for a request that comes again.
  mutating func cacheReply(
    _ head: MessageHead, _ message: Span<UInt8>, _ slot: Int, _ traffic: Traffic, at now: Instant
  ) {
    guard connections[slot].transport == .udp, let messageID = head.messageID,
      message.count <= singlePacketRoom(slot, head)
    else { return }
    if traffic.replyCache == nil { traffic.replyCache = ReplyCache() }
    traffic.replyCache?.add(
      messageID: messageID, replyID: head.replyID, bytes: message, at: now)
  }

  mutating func removeRequest(_ index: Int) {
    let request = requests[index]
    if let traffic = connections[Int(request.connection)].traffic {
      requests.unlink(index, from: &traffic.openRequests)
    }
    requests.remove(index)
  }

  mutating func removeAllRequests(_ slot: Int) {
    guard let traffic = connections[slot].traffic else { return }
    while let first = traffic.openRequests.first { removeRequest(first) }
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

  private mutating func receiveReply(
    _ header: PacketHeader, messageID: UInt32?, payload: Payload, _ slot: Int, at now: Instant
  ) {
    let traffic = traffic(slot)
    guard let index = waitingGet(header.replyID, messageID, traffic) else {
      return drop(.staleReply, slot)
    }
    let get = gets[index]
    // Of a request that was sent twice nobody knows which copy was answered (Karn), and how long
    // many packets take says nothing of one.
    if get.maySendAgain, get.sendings == 1, !get.hasPartOfReply {
      traffic.replyTimer.sample(now.since(get.sentAt))
    }
    if get.isTracked, let messageID, let outbox = traffic.outbox {
      // A reply says that its request arrived, whatever became of the acknowledgements.
      outbox.settleRequest(messageID)
      takeOutcomes(slot, traffic, outbox)
    }
    removeGet(index)
    tell(.reply, slot, payload, word: UInt64(get.context))
  }
}
