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

  /// Takes in a request that is to be told of: returns its handle; nil if it came before, or there
  /// is something wrong with it. `isWhole` says that it came in one packet.
  @inline(__always)
  mutating func take(
    request replyID: UInt16, _ messageID: UInt32?, isWhole: Bool, _ slot: Int, _ traffic: Traffic,
    isTracked: Bool, at now: Instant
  ) -> UInt64? {
    let isImplicit = connections[slot].flags.contains(.implicit)
    guard replyID != 0, isImplicit || messageID != nil else {
      drop(.malformed, slot)
      return nil
    }
    let isNumbered = connections[slot].transport == .udp && !isImplicit
    // One of several packets was new when the first of them came.
    if isNumbered, isWhole, let messageID, traffic.requestWindow.contains(messageID) {
      repeatReply(replyID, messageID, slot, traffic, at: now)
      return nil
    }
    let hasRoom = requests.hasRoom && traffic.openRequests.count < Int(UInt16.max)
    guard hasRoom || makeRoom(forRequestOf: slot, traffic, isTracked: isTracked),
      let index = requests.insert(
        OpenRequest(
          connection: UInt32(truncatingIfNeeded: slot), replyID: replyID,
          messageID: isImplicit ? nil : messageID, isTracked: isTracked && !isImplicit),
        to: &traffic.openRequests)
    else {
      refuse(.requestsFull, slot)
      return nil
    }
    if isNumbered, let messageID {
      if traffic.requestWindow.isEmpty {
        traffic.requestWindow = RequestWindow(
          startingWith: messageID, memory: repeatMemory, at: now)
      }
      _ = traffic.requestWindow.insert(messageID, at: now)
    }
    return Handle(
      box: configuration.box, slot: index, generation: requests.generation(index)
    ).rawValue
  }

  /// Makes room for one more open request of a connection.
  ///
  /// A peer has at most 65535 ids in use, so the oldest of more than that is one it has given up. If
  /// the box is full, of a few connections drawn by what they hold, the one that holds most loses its
  /// oldest: it is drawn almost surely, and what it holds is old, or it would not hold so much. A
  /// request that comes in datagrams that are acknowledged cannot come again, so at worst it takes
  /// the place of an older one of its own.
  @inline(never)
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
  @inline(never)
  private mutating func repeatReply(
    _ replyID: UInt16, _ messageID: UInt32, _ slot: Int, _ traffic: Traffic, at now: Instant
  ) {
    drop(.duplicate, slot)
    // Behind a socket that takes nothing copies would only pile up: the peer asks again.
    guard !sockets[Int(connections[slot].socket.rawValue)].isBlocked,
      traffic.replyCache?.take(
        messageID: messageID, replyID: replyID, at: now, into: &repeated) == .reply
    else { return }
    let head = MessageHead(kind: .reply, replyID: replyID, messageID: messageID)
    packRepeated(head, slot, traffic, at: now)
  }

  /// Sends the payload at hand, which was sent before.
  mutating func packRepeated(
    _ head: MessageHead, _ slot: Int, _ traffic: Traffic, at now: Instant
  ) {
    traffic.resent &+= 1
    let bytes = repeated
    pack(head, bytes.span, slot, traffic, counts: false, at: now)
  }

  /// Whether a reply is kept: over UDP its request may come again, and one packet holds it.
  func isCached(_ head: MessageHead, _ count: Int, _ slot: Int) -> Bool {
    connections[slot].transport == .udp && count <= singlePacketRoom(slot, head)
  }

  /// Keeps a reply that was just queued, for a request that comes again.
  @inline(__always)
  mutating func cacheReply(
    _ messageID: UInt32, _ replyID: UInt16, _ message: Span<UInt8>, _ traffic: Traffic,
    at now: Instant
  ) {
    if traffic.replyCache == nil { traffic.replyCache = ReplyCache(memory: repeatMemory) }
    traffic.replyCache?.add(messageID: messageID, replyID: replyID, bytes: message, at: now)
  }

  mutating func removeRequest(_ index: Int) {
    guard let traffic = connections[Int(requests[index].connection)].traffic else { return }
    requests.remove(index, from: &traffic.openRequests)
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
