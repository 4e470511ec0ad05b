/// What a program asks for: starts, messages and ends.
extension Endpoint {
  /// Starts to listen. `locator` nil means that the address could not be parsed. The outcome is an
  /// event, always. Returns `.none` only if there is no slot left.
  package mutating func listen(
    _ locator: Locator?, options: ConnectionOptions, userWords: UserWords, at now: Instant
  ) -> Handle {
    var record = ConnectionRecord()
    record.role = .listener
    record.transport = locator?.transport ?? .udp
    record.phase = .resolving
    record.userWords = userWords
    record.listenerState = ListenerState(
      locator: locator, options: options, key: random.word())
    guard let slot = connections.insert(record) else { return .none }
    listenerCount += 1
    guard let locator, options.isValid else {
      failListener(slot, locator == nil ? .badAddress : .invalidArgument)
      return handle(slot)
    }
    if case .name(let name) = locator.host {
      actions.append(.resolve(handle(slot), name: name, port: locator.port))
    } else {
      bind(slot, to: locator)
    }
    return handle(slot)
  }

  /// Starts to connect; see `listen`.
  package mutating func connect(
    _ locator: Locator?, options: ConnectionOptions, userWords: UserWords, at now: Instant
  ) -> Handle {
    guard let slot = insertClient(locator, options: options, userWords: userWords) else {
      return .none
    }
    guard let locator, locator.port != 0, locator.host != .any else {
      end(slot, .connectionSetupError, .badAddress, at: now)
      return handle(slot)
    }
    guard options.isValid else {
      end(slot, .connectionSetupError, .invalidArgument, at: now)
      return handle(slot)
    }
    beginAttempt(slot, at: now)
    return handle(slot)
  }

  /// Queues a one-way message. `shared` is the same message, if it need not be copied.
  package mutating func send(
    _ message: Span<UInt8>, to handle: Handle, options: SendOptions = SendOptions(),
    shared: MessageBytes? = nil, at now: Instant
  ) -> Status {
    switch connectionSlot(handle) {
    case .failure(let status): status
    case .success(let slot): send(message, slot, options, shared: shared, at: now)
    }
  }

  /// Adds a one-way message to the datagram that its connection is filling, as most of a burst are
  /// sent. False, and nothing has happened, if there is more to it: then it is for `send`.
  @inline(__always)
  package mutating func join(_ message: Span<UInt8>, to handle: Handle) -> Bool {
    guard let slot = slot(handle), let traffic = unsafe borrowedTraffic(slot) else { return false }
    return unsafe traffic._withUnsafeGuaranteedRef {
      join(MessageHead(kind: .oneWay), message, slot, $0)
    }
  }

  /// Packs a one-way message without the time, if that is all there is to it: over UDP to a peer
  /// with a session, in one packet, with no ack to go along. `isAlone` gives it a datagram of its
  /// own. False, and nothing has happened, if there is more to it: then it is for `send`.
  @inline(never)
  package mutating func pack(_ message: Span<UInt8>, to handle: Handle, isAlone: Bool) -> Bool {
    guard let slot = slot(handle), packsMessages(slot),
      message.count <= WireFormat.maxLonePayload,
      message.count <= Int(clamping: connections[slot].peerLargest),
      let traffic = connections[slot].traffic, takesMore(traffic, message.count), !owesAck(traffic)
    else { return false }
    count(message.count, traffic)
    pack(
      MessageHead(kind: .oneWay), message, slot, traffic, counts: true, isAlone: isAlone, at: nil)
    return true
  }

  /// Queues a request; `timeout` nil is the connection's. Returns what cancels it.
  package mutating func get(
    _ message: Span<UInt8>, from handle: Handle, context: UInt, timeout: Interval?, at now: Instant
  ) -> Result<Handle, Status> {
    switch connectionSlot(handle) {
    case .failure(let status): .failure(status)
    case .success(let slot): get(message, slot, context: context, timeout: timeout, at: now)
    }
  }

  /// Queues the reply to the request that was told of last, as most are, without the time: if it goes
  /// behind others into the datagram or the stream that its connection is filling. `looked` is when
  /// the clock was last looked at. False, and nothing has happened, if there is more to it: then it is
  /// for `answer`.
  @inline(__always)
  package mutating func answerAtOnce(
    _ message: Span<UInt8>, to request: Handle, lookedAt looked: Instant
  ) -> Bool {
    guard request == polledRequest.handle, request != .none,
      let traffic = unsafe borrowedTraffic(Int(polledRequest.connection)),
      unsafe traffic._withUnsafeGuaranteedRef({
        join(message, polledRequest.word, Int(polledRequest.connection), $0, at: looked)
      })
    else { return false }
    forgetPolledRequest()
    return true
  }

  /// Adds a reply to the datagram or the stream that its connection is filling. False, and nothing has
  /// happened, if there is more to it.
  @inline(never)
  private mutating func join(
    _ message: Span<UInt8>, _ request: RequestWord, _ slot: Int, _ traffic: Traffic,
    at now: Instant
  ) -> Bool {
    guard !request.isTracked else { return false }
    let head = head(replyTo: request)
    guard join(head, message, slot, traffic) else {
      return write(head, message, slot, traffic)
    }
    if let messageID = request.messageID {
      cacheReply(messageID, request.replyID, message, traffic, at: now)
    }
    return true
  }

  @inline(__always)
  private func head(replyTo request: RequestWord) -> MessageHead {
    MessageHead(kind: .reply, replyID: request.replyID, messageID: request.messageID)
  }

  /// Queues the reply to a request.
  package mutating func answer(
    _ message: Span<UInt8>, to request: Handle, at now: Instant
  ) -> Status {
    if request != .none, request == polledRequest.handle {
      let status = answer(
        message, polledRequest.word, Int(polledRequest.connection), at: now)
      if status == .ok { forgetPolledRequest() }
      return status
    }
    guard request.box == configuration.box,
      requests.contains(request.slot, generation: request.generation)
    else { return .badHandle }
    let (word, slot) = (requests[request.slot].word, Int(requests[request.slot].connection))
    let status = answer(message, word, slot, at: now)
    if status == .ok { removeRequest(request.slot) }
    return status
  }

  @inline(never)
  private mutating func answer(
    _ message: Span<UInt8>, _ request: RequestWord, _ slot: Int, at now: Instant
  ) -> Status {
    let traffic = traffic(slot)
    if join(message, request, slot, traffic, at: now) { return .ok }
    let head = head(replyTo: request)
    if request.isTracked {
      // The reply to a request of several packets is sent until it is acknowledged.
      var options = SendOptions()
      options.isReliable = true
      return queue(head, message, slot, options, at: now)
    }
    let status = queue(head, message, slot, traffic, at: now)
    if status == .ok, let messageID = request.messageID, isCached(head, message.count, slot) {
      cacheReply(messageID, request.replyID, message, traffic, at: now)
    }
    return status
  }

  package mutating func disconnect(_ handle: Handle, at now: Instant) -> Status {
    switch connectionSlot(handle) {
    case .failure(let status):
      return status
    case .success(let slot):
      if connections[slot].phase == .open {
        close(slot, .normal, .endLocal, at: now)
      } else {
        end(slot, .connectionSetupError, .cancelled, at: now)
      }
      return .ok
    }
  }

  package mutating func unlisten(_ handle: Handle, at now: Instant) -> Status {
    guard let slot = slot(handle) else { return .badHandle }
    guard connections[slot].role == .listener else { return .invalidArgument }
    switch connections[slot].phase {
    case .ended, .retiring:
      return .ended
    case .open:
      retireListener(slot, at: now)
    case .resolving:
      actions.append(.forgetName(handle))
      failListener(slot, .cancelled)
    default:
      failListener(slot, .cancelled)
    }
    return .ok
  }

  /// Queues a close to every connection and forgets everything but what is still to be transmitted;
  /// no events follow.
  package mutating func shutDown(at now: Instant) {
    // There is no other turn.
    limits.turnDatagrams = .max
    for slot in connections.slots where connections.isLive(slot) {
      if let state = connections[slot].listenerState { refusePendingHellos(state) }
      guard connections[slot].role != .listener, connections[slot].hasSession else { continue }
      switch connections[slot].transport {
      case .udp: sendLast(slot, at: now)
      case .tcp: writeLast(slot)
      }
    }
    for slot in connections.slots { connections.remove(slot) }
    for index in sockets.indices {
      sockets[index].owner = ConnectionRecord.noSlot
      // The timers go with all others, and so do the sums.
      sockets[index].stream?.timer = .none
      sockets[index].stream?.heldBytes = 0
    }
    forgetAll()
  }

  /// After `shutDown` and the last write: gives up what no stream has taken.
  package mutating func letGo() {
    for index in sockets.indices { sockets[index].stream = nil }
    spareStreams = []
  }

  /// Empties every table but those of handles and sockets.
  private mutating func forgetAll() {
    connStatus = ConnStatus()
    pendingCloses = PendingCloses()
    implicitCloses = PendingCloses()
    rotations = []
    pendingHellos = PendingHellos(key: random.word())
    tombstones = Tombstones()
    implicitPeers = ImplicitPeers()
    pathChanges = PathChanges()
    bySendSession.removeAll()
    for slot in gets.slots { gets.remove(slot) }
    getPayloads = GetPayloads()
    for slot in requests.slots { requests.remove(slot) }
    untoldRequests = 0
    polledRequest.handle = .none
    timers = TimerQueue()
    outboxPool = OutboxPool()
    largeBuffers.empty()
    spareStreams = []
    streamListeners = []
    refusedStreams = FIFO()
    ready = FIFO()
    nextRound = FIFO()
    fullReceivers = 0
    polledReceiver = nil
    awaitingBox = FIFO()
    queuedMessages = 0
    queuedBytes = 0
    heldOverUDP = 0
    heldByStreams = 0
    listenerCount = 0
    deliveredEnd = nil
    events = FIFO()
    otherEvents = FIFO()
    eventBytes = FIFO()
    actions = FIFO()
  }

  // MARK: Looking at a handle

  /// The words of a connection or listener; nil for a bad handle.
  package func userWords(of handle: Handle) -> UserWords? {
    slot(handle).map { connections[$0].userWords }
  }

  /// Whether the handle names a listener that has not ended.
  package func isListener(_ handle: Handle) -> Bool {
    slot(handle).map { connections[$0].role == .listener } ?? false
  }

  /// Replaces the context; false for a bad handle.
  package mutating func setContext(_ context: UInt, of handle: Handle) -> Bool {
    guard let slot = slot(handle) else { return false }
    connections[slot].userWords.context = context
    return true
  }

  /// The peer's address; a listener's own. Nil for a bad handle; unspecified while not known.
  package func address(of handle: Handle) -> (transport: Transport, address: Address)? {
    guard let slot = slot(handle) else { return nil }
    return (
      connections[slot].transport,
      connections[slot].role == .listener ? connections[slot].local : connections[slot].remote
    )
  }

  /// The local port; nil for a bad handle, 0 while not known.
  package func localPort(of handle: Handle) -> UInt16? {
    guard let slot = slot(handle) else { return nil }
    guard connections[slot].role == .server, connections[slot].transport == .udp else {
      return connections[slot].local.port
    }
    return connections[Int(connections[slot].listener)].local.port
  }

  /// The slot of a connection that is not ended, or why not.
  @inline(__always)
  private func connectionSlot(_ handle: Handle) -> Result<Int, Status> {
    guard let slot = slot(handle) else { return .failure(.badHandle) }
    guard connections[slot].role != .listener else { return .failure(.invalidArgument) }
    guard connections[slot].phase != .ended, connections[slot].phase != .closing else {
      return .failure(.ended)
    }
    return .success(slot)
  }
}
