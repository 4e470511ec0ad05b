/// Limits and identity of one endpoint.
package struct EndpointConfiguration: Sendable {
  /// Number of the box, 1...`Handle.maxBox`: the upper bits of each handle.
  package var box: UInt32 = 1
  /// Handshakes under way that a listener keeps, so that a flood at one keeps nobody from another.
  package var maxPendingHellos = 4096
  /// Streams that were refused and still wait for their peer to close them.
  package var maxRefusedStreams = 256
  package var maxTombstones = 4096
  /// Requests that a program may leave unanswered, over all connections.
  package var maxOpenRequests = Handle.maxSlots
  /// Of the numbered datagrams and of the places in each channel of every session, both ways; 0 but
  /// in tests. Both ends must have the same.
  package var firstNumber: UInt32 = 0

  package init() {}
}

/// All protocol state of one box, without I/O: connections, listeners, requests, heartbeats and
/// timers.
///
/// It takes datagrams, stream bytes, results of actions, user calls and the time; it gives actions,
/// transmits, stream bytes, events and the next deadline. It never blocks, never calls back and
/// never throws at hostile input. After each input: take the events until there are none (an
/// event's `.input` payload refers to the bytes of that input), then the actions, and before
/// waiting the transmits and stream bytes; only then ask for the deadline.
package struct Endpoint: ~Copyable {
  private let inPlace = InPlace()
  let configuration: EndpointConfiguration
  var random: RandomSource
  /// Makes the tokens of path challenges unguessable without keeping them.
  let challengeKey: UInt64

  var connections = Slab<ConnectionRecord>(maxSlots: Handle.maxSlots)
  var gets = Slab<WaitingGet>(maxSlots: Handle.maxSlots)
  var requests: Slab<OpenRequest>
  /// Requests of which events that wait will tell.
  var untoldRequests = 0
  var polledRequest = PolledRequest()
  /// The handle of the next request that is told of, whose slot is reserved; none if none is.
  var reservedRequest = Handle.none
  var listenerCount = 0

  var connStatus = ConnStatus()
  var pendingCloses = PendingCloses()
  /// Those of peers without a session, of which anybody can make as many as may be.
  var implicitCloses = PendingCloses()
  /// The rotations, one for each pace of heartbeats.
  var rotations: [OutBeats] = []
  var pendingHellos: PendingHellos
  var cookies = Cookies()
  var cookieBudget = CookieBudget()
  var firstHellos = FirstHellos()
  /// More comes than the owner reads, for a while: what waits in the system's buffers is not new.
  package var isBehind = false
  var tombstones = Tombstones()
  var implicitPeers = ImplicitPeers()
  var pathChanges = PathChanges()
  var bySendSession: SendSessions
  var answerBudget: AnswerBudget
  var timers = TimerQueue()

  var sockets = Pages<SocketState>()
  /// UDP sockets with something to send, and streams.
  var readySockets = FIFO<SocketID>()
  var readyStreams = FIFO<SocketID>()
  /// Connections with something to send over UDP that have not used up their share of this round,
  /// in the order of their turns.
  var ready = FIFO<ReadyConnection>()
  /// Those that have, for the round after this one.
  var nextRound = FIFO<ReadyConnection>()
  /// The number of this round.
  var round: UInt32 = 1
  /// Datagrams that this turn may still send, and how many of them may go before those of
  /// connections.
  var turnDatagramsLeft: Int
  var turnControlsLeft = 0
  /// Of those, how many may go before connections have their turn.
  var turnControlsFirst = 0
  /// Accepted and not yet sent, over all connections.
  var queuedMessages = 0
  package internal(set) var queuedBytes = 0
  /// Incomplete messages and such that wait for others, over all connections of each transport: who
  /// holds over one keeps nobody from the other.
  var heldOverUDP = 0
  var heldByStreams = 0
  /// How many bytes more were needed for the datagram at hand, and when all connections may be looked
  /// at for such room.
  var roomWanted = 0
  var nextRoomSearch = Instant(nanoseconds: 0)
  /// Connections that were refused because the box was at its marks.
  var awaitingBox = FIFO<ReadyConnection>()
  var limits = BoxLimits()
  package let repeatMemory = RepeatMemory(most: Int(clamping: BoxLimits().receiveBytes))
  /// Listeners and clients whose program takes no more messages.
  var fullReceivers = 0
  /// An owner keeps messages for later, and tells how many.
  var keepsMessages = false
  /// The listener or client of the message that was polled last.
  var polledReceiver: Int?
  /// The numbered datagram at hand.
  var arriving: ArrivingDatagram?
  /// The ranges of the ack at hand, for reuse.
  var ackRanges: [(first: UInt32, last: UInt32)] = []
  /// The payload of each get over UDP that may be sent again.
  var getPayloads = GetPayloads()
  /// Reliable messages that are done, for reuse.
  var outboxPool = OutboxPool()
  /// Numbered datagrams that were received.
  package internal(set) var trackedReceived: UInt64 = 0
  /// A request or a reply that is sent again, for reuse.
  var repeated: [UInt8] = []
  var largeBuffers = LargeBuffers()
  /// TCP listeners that are open.
  var streamListeners: [Int] = []
  /// The last streams that were refused, at most `maxRefusedStreams`, and how many that were in all.
  var refusedStreams = FIFO<RefusedStream>()
  var refusals: UInt64 = 0
  /// What streams needed that have nothing to do now, for reuse.
  var spareStreams: [StreamState] = []
  /// A packet that carries no message, for reuse.
  var controlBytes: [UInt8] = []
  /// Datagram buffers that wait to be used again.
  var buffers: [[UInt8]] = []

  var events = FIFO<WaitingEvent>()
  /// Those of them that are no messages, in their order.
  var otherEvents = FIFO<CoreEvent>()
  /// The owned bytes of messages among them, in their order.
  var eventBytes = FIFO<[UInt8]>()
  /// Those of the event that was polled last, until somebody takes them.
  var polledBytes: [UInt8] = []
  /// A message that came in pieces and is at hand: an event takes it over, or it is given back.
  var wholeMessage: [UInt8] = []
  var actions = FIFO<Action>()
  /// The slot whose last event was handed out: freed when the next one is asked for.
  var deliveredEnd: Int?
  /// The event that was handed out last has left something to do to the next call.
  private var polledLeavesWork = false

  package internal(set) var counters = Counters()

  package init(configuration: EndpointConfiguration, random: RandomSource, now: Instant) {
    self.configuration = configuration
    self.random = random
    challengeKey = self.random.word() | 1
    answerBudget = AnswerBudget(key: self.random.word())
    pendingHellos = PendingHellos(key: self.random.word())
    bySendSession = SendSessions(key: self.random.word())
    turnDatagramsLeft = Int(limits.turnDatagrams)
    requests = Slab(maxSlots: min(configuration.maxOpenRequests, Handle.maxSlots))
  }

  package var census: Census {
    Census(
      connections: connections.count - listenerCount, listeners: listenerCount,
      pendingHellos: pendingHellos.count, tombstones: tombstones.count,
      pathChanges: pathChanges.count, getsWaiting: gets.count,
      requestsOpen: requests.count + untoldRequests + (polledRequest.handle == .none ? 0 : 1),
      queuedMessages: queuedMessages, queuedBytes: queuedBytes,
      incompleteBytes: heldOverUDP + heldByStreams, outboxMessages: outboxPool.inUse)
  }

  /// The sizes of the notes' three structures. Always out_beats = conn_status + pending_closes.
  package var rotationCensus: (outBeats: Int, connStatus: Int, pendingCloses: Int) {
    var outBeats = 0
    for rotation in rotations { outBeats += rotation.count }
    return (outBeats, connStatus.count, pendingCloses.count + implicitCloses.count)
  }

  // MARK: Slots and handles

  @inline(__always)
  func handle(_ slot: Int) -> Handle {
    Handle(box: configuration.box, slot: slot, generation: connections.generation(slot))
  }

  @inline(__always)
  func slot(_ handle: Handle) -> Int? {
    guard handle.box == configuration.box,
      connections.contains(handle.slot, generation: handle.generation)
    else { return nil }
    return handle.slot
  }

  /// The options that a connection lives by: its own, or its listener's.
  func options(_ slot: Int) -> ConnectionOptions {
    if let state = connections[slot].clientState { return state.options }
    if let state = connections[slot].listenerState { return state.options }
    let listener = connections[slot].listener
    guard listener != ConnectionRecord.noSlot,
      let state = connections[Int(listener)].listenerState
    else { return ConnectionOptions() }
    return state.options
  }

  /// What a connection needs for messages, made on first use.
  @inline(__always)
  mutating func traffic(_ slot: Int) -> Traffic {
    if let traffic = connections[slot].traffic { return traffic }
    return makeTraffic(slot)
  }

  /// What a connection has for messages; nil before its first use. Its record holds it, so who uses
  /// it for the time of a call need not.
  @inline(__always)
  func borrowedTraffic(_ slot: Int) -> Unmanaged<Traffic>? {
    // No name is given to it, which would be a reason to hold it for the time of the call.
    unsafe connections[slot].traffic.map { unsafe Unmanaged.passUnretained($0) }
  }

  @inline(never)
  @discardableResult
  mutating func makeTraffic(_ slot: Int) -> Traffic {
    let traffic = Traffic(options(slot), largest: ownLargest(slot))
    if let time = connections[slot].roundTrip { traffic.roundTrip.sample(time) }
    connections[slot].traffic = traffic
    return traffic
  }

  /// A session id: 56 random bits, such that no session of this box has it, under the byte that
  /// steers its datagrams where several sockets share a port; 0 elsewhere.
  mutating func newSession(under steering: UInt8 = 0) -> UInt64 {
    while true {
      let session = random.word() >> 8 | UInt64(steering) << 56
      if session != 0, connStatus.slot(session, in: connections) == nil,
        pendingHellos.slot(session: session) == nil, tombstones.slot(session: session) == nil
      {
        return session
      }
    }
  }

  // MARK: Events

  /// Whether an event or an action waits to be polled.
  package var hasNews: Bool { !events.isEmpty || !actions.isEmpty }

  /// How many events wait to be polled.
  package var waitingEvents: Int { events.count }

  mutating func emit(
    _ kind: EventKind, _ slot: Int, _ status: Status = .ok, systemError: Int32 = 0,
    getContext: UInt = 0, next: Handle = .none, undelivered: Int = 0
  ) {
    var event = CoreEvent(kind, status, handle: handle(slot), listener: listenerHandle(slot))
    event.systemError = systemError
    event.getContext = getContext
    event.next = next
    event.undelivered = undelivered
    otherEvents.append(event)
    events.append(WaitingEvent(kind: kind))
  }

  private func listenerHandle(_ slot: Int) -> Handle {
    let listener = connections[slot].listener
    return listener == ConnectionRecord.noSlot ? .none : handle(Int(listener))
  }

  /// The next event, or nil. What the event before it ended is freed by this call.
  package mutating func pollEvent() -> CoreEvent? {
    guard let next = pollWaiting() else { return nil }
    var origin = EventOrigin()
    return next.isMessage ? message(next, &origin) : pollOther()
  }

  /// What `pollEvent` does in two steps: `message` or `pollOther` must follow, which gives the
  /// event.
  @inline(__always)
  mutating func pollWaiting() -> WaitingEvent? {
    eventsRest()
    if polledLeavesWork { finishPolled() }
    guard let next = events.popFirst() else {
      events.shrink(to: 4096)
      return nil
    }
    return next
  }

  /// No event is asked for until the next input: what comes of the last one is settled.
  mutating func eventsRest() {
    if polledRequest.handle != .none { keepPolledRequest() }
  }

  /// The event of a message that was polled. `origin` is that of the message before it, if there was
  /// nothing but messages since.
  @inline(__always)
  mutating func message(_ polled: WaitingEvent, _ origin: inout EventOrigin) -> CoreEvent {
    if polled.payload.place == .owned || keepsMessages {
      preparePolled(Int(polled.slot), polled.payload.place, polled.payload.count)
    }
    let slot = Int(polled.slot)
    // No connection goes before its events were polled, and no listener before its connections.
    if origin.slot != polled.slot {
      origin = EventOrigin(
        slot: polled.slot, handle: handle(slot), listener: listenerHandle(slot))
    }
    var event = CoreEvent(polled.kind, handle: origin.handle, listener: origin.listener)
    event.payload = polled.payload
    if polled.kind == .request { event.request = nameRequest(polled.word, of: polled.slot) }
    if polled.kind == .reply { event.getContext = UInt(polled.word) }
    // As they are at delivery: an earlier event of the same input may have set the context.
    event.userWords = connections[slot].userWords
    return event
  }

  /// The event that is no message and was polled.
  @inline(never)
  mutating func pollOther() -> CoreEvent? {
    guard var event = otherEvents.popFirst() else { return nil }
    otherEvents.shrink(to: 64)
    let slot = event.handle.slot
    event.userWords = connections[slot].userWords
    switch event.kind {
    case .listeningError, .listeningEnded, .connectionSetupError, .connectionClosed,
      .connectionLost:
      deliveredEnd = slot
      polledLeavesWork = true
    default:
      break
    }
    return event
  }

  /// What only some messages need when they are polled.
  @inline(never)
  private mutating func preparePolled(_ slot: Int, _ place: Payload.Place, _ count: Int) {
    polledLeavesWork = true
    if place == .owned { polledBytes = eventBytes.popFirst() ?? [] }
    if keepsMessages { messagePolled(slot, bytes: count) }
  }

  /// What the event that was polled last leaves behind.
  @inline(never)
  private mutating func finishPolled() {
    polledLeavesWork = false
    if !polledBytes.isEmpty { largeBuffers.give(takePolledBytes()) }
    settlePolledMessage()
    guard let slot = deliveredEnd else { return }
    deliveredEnd = nil
    if connections[slot].role == .listener { listenerCount -= 1 }
    forgetUntaken(slot)
    connections.remove(slot)
  }

  /// The owned bytes of the event that was polled last; none if they lie elsewhere or were taken.
  /// Whoever takes them should give them back.
  package mutating func takePolledBytes() -> [UInt8] {
    var bytes: [UInt8] = []
    swap(&bytes, &polledBytes)
    return bytes
  }

  /// Takes back the owned bytes of an event that was delivered, for another message.
  package mutating func giveBackPolled(_ bytes: consuming [UInt8]) { largeBuffers.give(bytes) }

  // MARK: Messages that came in pieces

  /// Makes bytes those of the message at hand.
  mutating func own(_ bytes: consuming [UInt8]) -> Payload {
    giveBackWhole()
    wholeMessage = bytes
    return .owned(count: wholeMessage.count)
  }

  /// The bytes of the message at hand, for somebody who keeps them.
  mutating func takeWhole() -> [UInt8] {
    var bytes: [UInt8] = []
    swap(&bytes, &wholeMessage)
    return bytes
  }

  /// Nobody has taken over the message at hand.
  mutating func giveBackWhole() {
    if wholeMessage.capacity > 0 { largeBuffers.give(takeWhole()) }
  }

  package mutating func pollAction() -> Action? { actions.popFirst() }
}
