/// Messages, requests and replies: queueing them, matching them, and telling of them.
extension Endpoint {
  // MARK: Sending

  /// Queues a message within the limits of its connection; it leaves with the turn, or after the
  /// accept.
  mutating func queue(
    _ head: MessageHead, _ message: Span<UInt8>, _ slot: Int, at now: Instant
  ) -> Status {
    guard message.count <= largestPayload(slot, head) else { return .tooBig }
    let traffic = traffic(slot)
    let options = options(slot)
    guard traffic.queuedMessages < Int(options.sendMarkMessages),
      traffic.queuedBytes < Int(options.sendMarkBytes)
    else {
      connections[slot].flags.insert(.owesWritable)
      return .wouldBlock
    }
    traffic.queuedMessages += 1
    traffic.queuedBytes += message.count
    if connections[slot].phase == .open {
      write(head, message, slot)
    } else {
      var bytes: [UInt8] = []
      bytes.append(bytes: message)
      traffic.early.append(EarlyMessage(head: head, bytes: bytes))
    }
    return .ok
  }

  /// The largest payload that a packet can have on its way to the peer.
  private func largestPayload(_ slot: Int, _ head: MessageHead) -> Int {
    let connection = connections[slot]
    let room: Int
    switch connection.transport {
    case .tcp:
      room = WireFormat.maxMessage
    case .udp:
      let session = connection.flags.contains(.implicit) ? 0 : WireFormat.sessionSize
      room = WireFormat.maxDatagram - PacketHeader.size - session - head.blockSize
    }
    return min(room, Int(clamping: connection.peerLargest))
  }

  /// Hands a message that counts as queued to the datagram or stream that is being filled.
  private mutating func write(_ head: MessageHead, _ message: Span<UInt8>, _ slot: Int) {
    let traffic = traffic(slot)
    traffic.messagesSent &+= 1
    traffic.bytesSent &+= UInt64(message.count)
    counters.messagesSent &+= 1
    switch connections[slot].transport {
    case .udp:
      pack(head, message, slot, traffic)
    case .tcp:
      appendToStream(connections[slot].socket, head, message)
    }
  }

  /// Sends what was queued before there was somebody to send it to.
  mutating func flushEarly(_ slot: Int, at now: Instant) {
    guard let traffic = connections[slot].traffic else { return }
    while let message = traffic.early.popFirst() {
      let isRequest = message.head.kind == .request
      let get = isRequest ? traffic.getsByReplyID[message.head.replyID].map(Int.init) : nil
      let isWaiting = get.map { gets[$0].messageID == message.head.messageID } ?? false
      if isRequest, !isWaiting {
        releaseQueued(traffic, messages: 1, bytes: message.bytes.count)
      } else if message.bytes.count > largestPayload(slot, message.head) {
        releaseQueued(traffic, messages: 1, bytes: message.bytes.count)
        counters.drop(.tooBig)
        if let get {
          failGet(get, .tooBig)
        } else {
          emit(.error, slot, .tooBig)
        }
      } else {
        write(message.head, message.bytes.span, slot)
      }
    }
    tellWritable(slot)
  }

  func releaseQueued(_ traffic: Traffic, messages: Int, bytes: Int) {
    traffic.queuedMessages -= messages
    traffic.queuedBytes -= bytes
  }

  /// After something left the queue: tells the program if it was refused before and may go on.
  mutating func tellWritable(_ slot: Int) {
    guard connections[slot].flags.contains(.owesWritable), connections[slot].phase == .open,
      let traffic = connections[slot].traffic
    else { return }
    let options = options(slot)
    guard traffic.queuedMessages * 2 < Int(options.sendMarkMessages) || traffic.queuedMessages == 0,
      traffic.queuedBytes * 2 < Int(options.sendMarkBytes) || traffic.queuedBytes == 0
    else { return }
    connections[slot].flags.remove(.owesWritable)
    emit(.writable, slot)
  }

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
