/// Messages, requests and replies: matching them, and telling of them.
extension Endpoint {
  // MARK: Receiving

  /// One packet with a message, of a connection that is open.
  mutating func receiveMessage(
    _ kind: PacketKind, _ header: PacketHeader, messageID: UInt32?, payload: Payload, count: Int,
    _ slot: Int
  ) {
    guard header.numPackets == 1 else {
      counters.drop(.fragment)
      return
    }
    switch kind {
    case .oneWay:
      tell(.message, slot, payload, count)
    case .request:
      receiveRequest(header, messageID: messageID, payload: payload, count: count, slot)
    case .reply:
      receiveReply(header, messageID: messageID, payload: payload, count: count, slot)
    default:
      counters.drop(.kind)
    }
  }

  private mutating func tell(
    _ kind: EventKind, _ slot: Int, _ payload: Payload, _ count: Int, getContext: UInt = 0,
    request: Handle = .none
  ) {
    let traffic = traffic(slot)
    traffic.messagesReceived &+= 1
    traffic.bytesReceived &+= UInt64(count)
    counters.messagesReceived &+= 1
    emit(kind, slot, payload: payload, getContext: getContext, request: request)
  }

  private mutating func receiveRequest(
    _ header: PacketHeader, messageID: UInt32?, payload: Payload, count: Int, _ slot: Int
  ) {
    let isImplicit = connections[slot].flags.contains(.implicit)
    guard header.replyID != 0, isImplicit || messageID != nil else {
      counters.drop(.malformed)
      return
    }
    let traffic = traffic(slot)
    // The peer has at most 65535 ids in use, so the oldest of more than that is one it has given
    // up.
    if traffic.openRequests.count >= Int(UInt16.max), let oldest = traffic.openRequests.first {
      removeRequest(oldest)
    }
    let request = OpenRequest(
      connection: UInt32(slot), replyID: header.replyID,
      messageID: isImplicit ? nil : messageID)
    guard let index = requests.insert(request) else {
      counters.drop(.requestsFull)
      return
    }
    requests.append(index, to: &traffic.openRequests)
    let handle = Handle(
      box: configuration.box, slot: index, generation: requests.generation(index))
    tell(.request, slot, payload, count, request: handle)
  }

  private mutating func receiveReply(
    _ header: PacketHeader, messageID: UInt32?, payload: Payload, count: Int, _ slot: Int
  ) {
    let traffic = traffic(slot)
    guard let index = traffic.getsByReplyID[header.replyID].map(Int.init),
      gets[index].messageID == nil || gets[index].messageID == messageID
    else {
      counters.drop(.staleReply)
      return
    }
    let context = gets[index].context
    removeGet(index)
    tell(.reply, slot, payload, count, getContext: context)
  }

  // MARK: Waiting gets

  /// The next reply id that is neither 0 nor in use.
  func freeReplyID(_ traffic: Traffic, at now: Instant) -> UInt16? {
    releaseQuarantine(traffic, olderThan: .seconds(30), at: now)
    if traffic.getsByReplyID.count + traffic.quarantined.count >= Int(UInt16.max) {
      guard releaseQuarantine(traffic, olderThan: .seconds(5), at: now, atMost: 1) else {
        return nil
      }
    }
    var replyID = traffic.lastReplyID
    for _ in 0..<Int(UInt16.max) {
      replyID = replyID == .max ? 1 : replyID + 1
      if traffic.getsByReplyID[replyID] == nil, !traffic.quarantined.contains(replyID) {
        return replyID
      }
    }
    return nil
  }

  /// Frees the ids whose late replies are no longer to be feared. Returns whether there was one.
  @discardableResult
  private func releaseQuarantine(
    _ traffic: Traffic, olderThan age: Interval, at now: Instant, atMost limit: Int = .max
  ) -> Bool {
    var released = 0
    while released < limit, let oldest = traffic.quarantine.first, now.since(oldest.since) >= age {
      _ = traffic.quarantine.popFirst()
      traffic.quarantined.remove(oldest.replyID)
      released += 1
    }
    return released > 0
  }

  private mutating func removeGet(_ index: Int) {
    timers.cancel(&gets[index].timer)
    let get = gets[index]
    if let traffic = connections[Int(get.connection)].traffic {
      traffic.getsByReplyID[get.replyID] = nil
      gets.unlink(index, from: &traffic.waitingGets)
    }
    gets.remove(index)
  }

  /// A get ends without its reply.
  mutating func failGet(_ index: Int, _ status: Status) {
    let get = gets[index]
    removeGet(index)
    emit(.replyMissing, Int(get.connection), status, getContext: get.context)
  }

  mutating func getTimedOut(_ index: Int, at now: Instant) {
    gets[index].timer = .none
    let get = gets[index]
    if get.messageID == nil, let traffic = connections[Int(get.connection)].traffic {
      traffic.quarantine.append(QuarantinedID(replyID: get.replyID, since: now))
      traffic.quarantined.insert(get.replyID)
    }
    failGet(index, .timedOut)
  }

  mutating func failAllGets(_ slot: Int, _ status: Status) {
    guard let traffic = connections[slot].traffic else { return }
    while let first = traffic.waitingGets.first { failGet(first, status) }
  }

  // MARK: Open requests

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
}
