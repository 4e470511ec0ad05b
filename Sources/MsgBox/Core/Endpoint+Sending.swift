/// Messages on their way out: accepted within the marks, and put where they wait for their turn.
extension Endpoint {
  /// Queues a message without options: what is small and goes over UDP is packed at once.
  mutating func queue(
    _ head: MessageHead, _ message: Span<UInt8>, _ slot: Int, _ traffic: Traffic, at now: Instant
  ) -> Status {
    guard packsMessages(slot), message.count <= Self.sessionRoom(head) else {
      return queue(head, message, slot, SendOptions(), at: now)
    }
    guard message.count <= Int(clamping: connections[slot].peerLargest) else { return .tooBig }
    guard takesMore(traffic, message.count) else {
      oweWritable(slot, message.count)
      return .wouldBlock
    }
    count(message.count, traffic)
    pack(head, message, slot, traffic, counts: true, at: now)
    return .ok
  }

  /// Whether messages of one packet are simply packed: over UDP, to a peer with a session, with
  /// heartbeats.
  @inline(__always)
  func packsMessages(_ slot: Int) -> Bool {
    connections[slot].phase == .open && connections[slot].transport == .udp
      && connections[slot].flags.isDisjoint(with: [.implicit, .onDemand])
  }

  /// The largest payload that a packet of a session can have in a datagram of its own.
  @inline(__always)
  private static func sessionRoom(_ head: MessageHead) -> Int {
    WireFormat.maxLonePayload - head.blockSize
  }

  /// Counts a message that was accepted and is handed to what sends it.
  @inline(__always)
  mutating func count(_ bytes: Int, _ traffic: Traffic) {
    enqueued(bytes, traffic)
    passedOn(bytes, traffic)
  }

  @inline(__always)
  private mutating func enqueued(_ bytes: Int, _ traffic: Traffic) {
    traffic.queuedMessages &+= 1
    traffic.queuedBytes &+= bytes
    queuedMessages &+= 1
    queuedBytes &+= bytes
  }

  @inline(__always)
  private mutating func passedOn(_ bytes: Int, _ traffic: Traffic) {
    traffic.messagesSent &+= 1
    traffic.idleBeats = 0
    traffic.bytesSent &+= UInt64(truncatingIfNeeded: bytes)
    counters.messagesSent &+= 1
  }

  /// Queues a message within the limits of its connection and of the box; it leaves with the turn,
  /// or after the accept. `shared` is the same message, if there is an array of it. `owes` says that
  /// `writable` is owed if it is refused.
  mutating func queue(
    _ head: MessageHead, _ message: Span<UInt8>, _ slot: Int, _ options: SendOptions,
    shared: MessageBytes? = nil, owes: Bool = true, at now: Instant
  ) -> Status {
    guard message.count <= largestPayload(slot, head) else { return .tooBig }
    guard !options.isReliable || !connections[slot].flags.contains(.implicit) else {
      return .notSupported
    }
    let traffic = traffic(slot)
    guard takesMore(traffic, message.count) else {
      if owes { oweWritable(slot, message.count) }
      return .wouldBlock
    }
    enqueued(message.count, traffic)
    if connections[slot].phase == .open {
      put(head, message, slot, traffic, options, shared, deadline: due(options, at: now), at: now)
    } else {
      traffic.early.append(
        EarlyMessage(
          head: head, bytes: shared ?? MessageBytes(copying: message), options: options,
          deadline: due(options, at: now)))
    }
    return .ok
  }

  @inline(__always)
  private func due(_ options: SendOptions, at now: Instant) -> Instant {
    options.deadline.nanoseconds == 0 ? .never : now + options.deadline
  }

  /// The largest payload that a message can have on its way to the peer.
  @inline(__always)
  private func largestPayload(_ slot: Int, _ head: MessageHead) -> Int {
    let room =
      connections[slot].flags.contains(.implicit)
      ? singlePacketRoom(slot, head) : WireFormat.maxMessage
    return min(room, Int(clamping: connections[slot].peerLargest))
  }

  /// The largest payload that a single packet in a datagram of its own can have.
  @inline(__always)
  func singlePacketRoom(_ slot: Int, _ head: MessageHead) -> Int {
    let session = connections[slot].flags.contains(.implicit) ? 0 : WireFormat.sessionSize
    return WireFormat.maxDatagram - PacketHeader.size - session - head.blockSize
  }

  /// Hands a message that counts as queued to whatever sends it.
  private mutating func put(
    _ head: MessageHead, _ message: Span<UInt8>, _ slot: Int, _ traffic: Traffic,
    _ options: SendOptions, _ shared: MessageBytes?, deadline: Instant, at now: Instant
  ) {
    passedOn(message.count, traffic)
    if connections[slot].flags.contains(.onDemand) {
      messageMoved(slot, traffic, isOurs: true, at: now)
    }
    let isUDP = connections[slot].transport == .udp
    if isUDP, isTracked(head, message.count, options, slot) {
      putIntoOutbox(
        head, message, shared: shared, slot, traffic, options, deadline: deadline, at: now)
      armExpiry(slot, traffic, deadline)
    } else if options.waits || mustWait(head, message.count, slot, traffic, isUDP) {
      let bytes = shared ?? MessageBytes(copying: message)
      wait(
        WaitingMessage(head: head, bytes: bytes, options: options, deadline: deadline), slot,
        traffic)
    } else if isUDP {
      pack(
        head, message, slot, traffic, counts: true, isAlone: options.isAlone, at: now)
    } else {
      writeFrame(head, message, slot, traffic, options, shared: shared)
    }
  }

  /// Whether a message stays in its own form: over UDP one that needs several packets, over TCP
  /// one that would overtake others.
  @inline(__always)
  private func mustWait(
    _ head: MessageHead, _ count: Int, _ slot: Int, _ traffic: Traffic, _ isUDP: Bool
  ) -> Bool {
    isUDP ? count > singlePacketRoom(slot, head) : !traffic.waiting.isEmpty
  }

  /// Whether a message over UDP is sent until it is acknowledged.
  @inline(__always)
  private func isTracked(
    _ head: MessageHead, _ count: Int, _ options: SendOptions, _ slot: Int
  ) -> Bool {
    if options.isReliable { return true }
    return head.kind != .oneWay && count > singlePacketRoom(slot, head)
  }

  /// Keeps a message in its own form until its turn.
  private mutating func wait(_ message: WaitingMessage, _ slot: Int, _ traffic: Traffic) {
    var message = message
    if connections[slot].transport == .udp,
      message.bytes.count > singlePacketRoom(slot, message.head)
    {
      message.head.messageID = takeMessageID(traffic)
    }
    if let old = traffic.waiting.add(message) {
      dropUnsent(old, .superseded, slot, traffic)
    }
    armExpiry(slot, traffic, message.deadline)
    switch connections[slot].transport {
    case .udp: makeReady(slot)
    case .tcp: markStreamReady(connections[slot].socket)
    }
  }

  /// The number of a message that has one; only requests that are sent again need theirs in
  /// order.
  @inline(__always)
  func takeMessageID(_ traffic: Traffic) -> UInt32 {
    let messageID = traffic.nextMessageID
    traffic.nextMessageID &+= 1
    return messageID
  }

  // MARK: What is not sent

  /// A message was not on the wire in time.
  mutating func expire(_ message: WaitingMessage, _ slot: Int, _ traffic: Traffic) {
    dropUnsent(message, .expired, slot, traffic)
  }

  private mutating func dropUnsent(
    _ message: WaitingMessage, _ reason: DropReason, _ slot: Int, _ traffic: Traffic
  ) {
    release(traffic, messages: 1, bytes: message.bytes.count)
    drop(reason, slot)
    tellOutcome(message.options, reason == .expired ? .expired : .superseded, slot)
    tellWritable(slot)
  }

  /// How late a message that is too late is dropped, and how often deadlines are looked at.
  private static let expiryStep = Interval.milliseconds(1)
  private static let expiryGap = Interval.milliseconds(10)

  /// Looks at the messages of a connection once one of them may be too late, whether it gets its
  /// turn by then or not.
  private mutating func armExpiry(_ slot: Int, _ traffic: Traffic, _ deadline: Instant) {
    guard deadline != .never else { return }
    let due = deadline + Self.expiryStep
    if traffic.expiryTimer != .none, traffic.expiryDue <= due { return }
    timers.cancel(&traffic.expiryTimer)
    traffic.expiryDue = due
    traffic.expiryTimer = timers.schedule(.expiry, slot, at: due)
  }

  /// Drops the messages of a connection that are too late, wherever they wait.
  mutating func expiryTimer(_ slot: Int, at now: Instant) {
    guard let traffic = connections[slot].traffic else { return }
    traffic.expiryTimer = .none
    for message in traffic.waiting.takeLate(at: now) { expire(message, slot, traffic) }
    var next = traffic.waiting.nextDeadline
    if let outbox = traffic.outbox {
      next = min(next, outbox.expire(at: now))
      takeOutcomes(slot, traffic, outbox)
    }
    if next != .never { armExpiry(slot, traffic, max(next, now + Self.expiryGap)) }
    guard connections[slot].phase == .closing else { return }
    switch connections[slot].transport {
    case .udp: makeReady(slot)
    case .tcp: messagesLeft(slot, at: now)
    }
  }

  /// Sends what was queued before there was somebody to send it to.
  mutating func flushEarly(_ slot: Int, at now: Instant) {
    guard let traffic = connections[slot].traffic else { return }
    while let message = traffic.early.popFirst() {
      let isRequest = message.head.kind == .request
      let get = isRequest ? traffic.replyIDs.get(message.head.replyID) : nil
      let isWaiting = get.map { gets[$0].messageID == message.head.messageID } ?? false
      if isRequest, !isWaiting {
        release(traffic, messages: 1, bytes: message.bytes.count)
      } else if message.bytes.count > largestPayload(slot, message.head) {
        refuseEarly(message, get, slot, traffic)
      } else if message.deadline < now {
        expire(
          WaitingMessage(
            head: message.head, bytes: message.bytes, options: message.options,
            deadline: message.deadline), slot, traffic)
      } else {
        put(
          message.head, message.bytes.span, slot, traffic, message.options, message.bytes,
          deadline: message.deadline, at: now)
        if let get { requestLeft(get, slot, traffic, at: now) }
      }
    }
    tellWritable(slot)
  }

  /// The peer turned out not to accept a message of that size.
  private mutating func refuseEarly(
    _ message: EarlyMessage, _ get: Int?, _ slot: Int, _ traffic: Traffic
  ) {
    release(traffic, messages: 1, bytes: message.bytes.count)
    drop(.tooBig, slot)
    if let get {
      failGet(get, .tooBig)
    } else if message.options.wantsOutcome {
      tellOutcome(message.options, .tooBig, slot)
    } else {
      emit(.error, slot, .tooBig)
    }
  }

  // MARK: Marks

  /// Whether connection and box are below their marks, or the connection has some of its share of
  /// what a box takes beyond its own for one more message of so many bytes.
  @inline(__always)
  func takesMore(_ traffic: Traffic, _ bytes: Int) -> Bool {
    traffic.queuedMessages < traffic.markMessages && traffic.queuedBytes < traffic.markBytes
      && (queuedMessages < Int(limits.sendMarkMessages)
        && queuedBytes < Int(clamping: limits.sendMarkBytes) || hasShare(traffic, bytes))
  }

  /// Peers that take nothing, however many they are, leave all others some room: so much more than
  /// its marks a box has for all connections, each the same.
  @inline(never)
  private func hasShare(_ traffic: Traffic, _ bytes: Int) -> Bool {
    traffic.queuedMessages < max(Int(limits.sendMarkMessages) / shares, 1)
      && traffic.queuedBytes + bytes <= byteShare
  }

  /// Of a sixteenth of the marks each connection has one.
  private var shares: Int { 16 * max(connections.count, 1) }

  /// One small message at least.
  private var byteShare: Int {
    max(Int(clamping: limits.sendMarkBytes) / shares, WireFormat.maxDatagram)
  }

  /// A send of so many bytes was refused at a mark, and the program was told so: `writable` follows.
  mutating func oweWritable(_ slot: Int, _ bytes: Int) {
    connections[slot].flags.insert(.owesWritable)
    traffic(slot).wantsMoreThanShare = bytes > byteShare
    tellWritable(slot)
  }

  /// Takes what has left out of the marks.
  mutating func release(_ traffic: Traffic, messages: Int, bytes: Int) {
    traffic.queuedMessages -= messages
    traffic.queuedBytes -= bytes
    queuedMessages -= messages
    queuedBytes -= bytes
    boxHasRoom()
  }

  /// Tells those that were refused for the sake of the box once it is below half of its marks.
  mutating func boxHasRoom() {
    if !awaitingBox.isEmpty, isBoxBelowHalf { tellAllWritable() }
  }

  @inline(__always)
  private var isBoxBelowHalf: Bool {
    (queuedMessages * 2 < Int(limits.sendMarkMessages) || queuedMessages == 0)
      && (queuedBytes < Int(clamping: limits.sendMarkBytes / 2) || queuedBytes == 0)
  }

  /// After something left the queue: tells the program if it was refused before and may go on.
  mutating func tellWritable(_ slot: Int) {
    guard connections[slot].flags.contains(.owesWritable), connections[slot].phase == .open,
      let traffic = connections[slot].traffic,
      traffic.queuedMessages * 2 < traffic.markMessages || traffic.queuedMessages == 0,
      traffic.queuedBytes * 2 < traffic.markBytes || traffic.queuedBytes == 0
    else { return }
    if !isBoxBelowHalf {
      if !connections[slot].flags.contains(.awaitsBox) {
        connections[slot].flags.insert(.awaitsBox)
        awaitingBox.append(readyEntry(slot))
      }
      // Its share of what is beyond the mark is all there again.
      guard traffic.queuedMessages == 0, !traffic.wantsMoreThanShare else { return }
    }
    connections[slot].flags.remove(.owesWritable)
    emit(.writable, slot)
  }

  /// The box has room again: those who were refused for its sake hear of it, in their order.
  private mutating func tellAllWritable() {
    while let entry = awaitingBox.popFirst() {
      let slot = Int(entry.slot)
      guard connections.contains(slot, generation: entry.generation) else { continue }
      connections[slot].flags.remove(.awaitsBox)
      tellWritable(slot)
    }
  }

  // MARK: Drops of a connection

  /// Counts a drop in the box and at the connection.
  mutating func drop(_ reason: DropReason, _ slot: Int, count: UInt64 = 1) {
    counters.drop(reason, count: count)
    guard count > 0 else { return }
    traffic(slot).drops[Int(reason.rawValue)] &+= count
  }
}

extension SendOptions {
  /// Whether the message must stay in its own form until its turn.
  var waits: Bool { key != 0 || deadline.nanoseconds != 0 }
}

extension [UInt8] {
  /// A copy of borrowed bytes.
  init(copying bytes: Span<UInt8>) {
    self.init()
    reserveCapacity(bytes.count)
    append(bytes: bytes)
  }
}
