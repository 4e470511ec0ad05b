/// One box at work: the core, its sockets and its waits. Belongs to one thread.
package final class RunLoop {
  /// How long a turn may receive before it looks at its timers, flood or not.
  static let budget = Interval.milliseconds(6)
  /// How long it may write to streams, before and after.
  static let sendBudget = Interval.milliseconds(2)
  /// What is to be sent over UDP waits no longer than this for a long receive to end: others wait
  /// for it, and for acknowledgements most of all.
  static let sendGap = Interval.milliseconds(1)

  /// To what is due later than this the loop need not come to the millisecond.
  static let near = Interval.milliseconds(10)

  /// Payload of messages whose making takes longer than to send them by themselves and to wake the peer.
  static let firstBurst = 2048

  /// The protocol state. The loop's user calls it directly, with `now`; what it queues leaves at
  /// the next `flush` or turn.
  package var endpoint: Endpoint

  /// Gets each line of the log up to `logLevel`, in UTF-8 without a line end, valid during the
  /// call.
  package var log: ((LogLevel, Span<UInt8>) -> Void)?

  /// The least important level that is logged.
  package var logLevel = LogLevel.warning

  /// How long a turn that may wait polls without sleeping before it does.
  package var spin = Interval(nanoseconds: 0)

  let poller: Poller
  let wakeup: Wakeup
  let batch: DatagramBatch
  /// What is written to a stream.
  let streamPieces = StreamPieces()
  /// Made with the first stream.
  var streamBuffer: StreamBuffer?
  /// Made with the first name.
  var resolver: Resolver?
  /// A descriptor to give up when there are no others.
  var reserve: FileDescriptor?
  let sockets = SocketTable()
  /// The sockets that have a backlog, in the order of their turns.
  var backlogged = FIFO<UInt64>()
  /// Datagrams that were given to the core since the turn last looked at the clock.
  var unlooked = 0
  /// Listeners that are not polled until `pauseEnds`, for want of descriptors.
  var paused: [UInt64] = []
  /// Sockets that are not polled for what they should be until `pauseEnds`, for want of memory.
  var miswatched: [UInt64] = []
  var pauseEnds: Instant?
  var drain: DrainClock
  /// The counters when drops were last logged.
  var notedDrops = Counters()
  /// How much the next burst of this turn sends, and how much is queued then.
  var burst = RunLoop.firstBurst
  var burstMark = RunLoop.firstBurst
  /// How many events are delivered between two looks at the clock, and until the next one.
  var eventsPerLook = 1
  var eventsToLook = 1
  /// Events delivered in this turn.
  var delivered = 0
  /// When this turn has used up its time.
  var turnEnds: Instant
  /// When datagrams were last sent.
  var sentAt: Instant
  /// How many ready sockets the last turn served before its time was up: the next one begins behind
  /// them.
  var served = 0
  /// The numbered datagrams that were received before datagrams were last sent.
  var trackedAtFlush: UInt64 = 0
  private var isTurning = false
  /// What the clock said when the loop last looked at it.
  package private(set) var lastLook: Instant
  /// `shutDown` was called: nothing more is delivered.
  private(set) var isEnding = false
  private var hasEnded = false

  private init(box: UInt32, poller: Poller, wakeup: Wakeup, batch: DatagramBatch) {
    let now = SystemClock.now
    var configuration = EndpointConfiguration()
    configuration.box = box
    endpoint = Endpoint(configuration: configuration, random: .system, now: now)
    drain = DrainClock(now: now)
    turnEnds = now
    sentAt = now
    lastLook = now
    self.poller = poller
    self.wakeup = wakeup
    self.batch = batch
  }

  /// Makes a loop for the box of that number, 1...`Handle.maxBox`. Fails without descriptors or
  /// memory.
  package static func make(box: UInt32) -> Result<RunLoop, Errno> {
    do throws(Errno) {
      let poller = try Poller()
      let wakeup = try Wakeup()
      try poller.add(wakeup.descriptor, token: .max, for: .readable)
      guard let batch = DatagramBatch() else { return .failure(.noMemory) }
      let loop = RunLoop(box: box, poller: poller, wakeup: wakeup, batch: batch)
      loop.reserve = try FileDescriptor.reserve()
      return .success(loop)
    } catch {
      return .failure(error)
    }
  }

  /// The monotonic clock.
  package var now: Instant {
    lastLook = SystemClock.now
    return lastLook
  }

  /// The time for a call of the program. In a turn, where each event may bring a call, it is behind by
  /// a tick of the system at most.
  package var callTime: Instant { isTurning ? roughTime : now }

  /// The time, at most a tick of the system behind, for a fifth of the cost. Never before the last
  /// look at the clock, so right to what the loop has done since then while it is busy.
  var roughTime: Instant { max(lastLook, SystemClock.coarse) }

  /// Runs one turn: sends what is queued, waits up to `timeout` (nil: without limit, zero: not at
  /// all) for something to happen, receives, runs the timers that are due and delivers the events.
  /// The bytes of an event are valid during `deliver`, which may call anything but `turn`.
  ///
  /// Returns the number of events delivered, or `.reentrant`, `.ended` after `shutDown`,
  /// `.noMemory` or `.system`.
  package func turn(
    timeout: Interval?, deliver: (CoreEvent, RawSpan) -> Void
  ) -> Result<Int, Status> {
    guard !isTurning else { return .failure(.reentrant) }
    guard !hasEnded else { return .failure(.ended) }
    isTurning = true
    delivered = 0
    // One look at the clock, behind the wait, is enough for most turns.
    var began = roughTime
    turnEnds = began + Self.budget
    endpoint.beginTurn(at: began)
    if pauseEnds != nil { resumePolling() }
    began = settleAndSend(at: began, deliver)
    burst = Self.firstBurst
    burstMark = endpoint.queuedBytes + burst
    let due = nextDue
    let failure = receive(wait: waitMilliseconds(timeout, until: due, from: began), deliver)
    let time = roughTime
    if let due, due <= time { runTimers(at: time) }
    _ = settleAndSend(at: time, deliver)
    if log != nil { noteDrops() }
    isTurning = false
    if isEnding { finishShutDown() }
    if let failure { return .failure(failure.status) }
    return .success(delivered)
  }

  /// Settles what there is to settle, and sends what then waits.
  ///
  /// - Parameter time: A look at the clock.
  /// - Returns: The newest look at it.
  private func settleAndSend(
    at time: Instant, _ deliver: (CoreEvent, RawSpan) -> Void
  ) -> Instant {
    var time = time
    if endpoint.hasNews {
      settle(deliver)
      // The handlers may have been slow.
      time = roughTime
    }
    if endpoint.hasOutput { sendQueued(at: endpoint.measuresSending ? now : time) }
    return time
  }

  /// One descriptor that is readable, level-triggered, whenever there is something to receive.
  package var descriptor: Int32 { poller.descriptor }

  /// The milliseconds, rounded up, until a turn is due although `descriptor` is silent: 0 now, -1
  /// never.
  package var deadlineMilliseconds: Int {
    guard !hasEnded, let due = nextDue else { return -1 }
    return Int(clamping: due.since(now).millisecondsRoundedUp)
  }

  /// A handle for other threads to wake this loop; nil without a descriptor or memory.
  package func makeWaker() -> Waker? {
    Waker(eventCounter: wakeup.descriptor)
  }

  /// Sends a close to every connection and closes all sockets; no event follows. Inside a turn it
  /// takes effect at the end of that turn, which delivers nothing more.
  package func shutDown() {
    isEnding = true
    if !isTurning { finishShutDown() }
  }

  /// Says that the turn in progress, if there is one, is never gone on with: its thread ends inside
  /// `deliver`. What `shutDown` does, it does at once from here on.
  package func abandonTurn() { isTurning = false }

  private func finishShutDown() {
    guard !hasEnded else { return }
    endpoint.shutDown(at: now)
    flush()
    hasEnded = true
    endpoint.letGo()
    for id in sockets.ids {
      if let socket = sockets[id], socket.role == .stream { finish(socket) }
      sockets.remove(id)
    }
    resolver = nil
    reserve = nil
  }

  /// Whether all sockets are closed.
  var sendsNothing: Bool { hasEnded }

  /// When a turn is due although no socket is ready.
  private var nextDue: Instant? {
    guard backlogged.isEmpty else { return Instant(nanoseconds: 0) }
    guard let pauseEnds else { return endpoint.nextDeadline }
    guard let deadline = endpoint.nextDeadline else { return pauseEnds }
    return min(deadline, pauseEnds)
  }

  /// How long a poll may wait for what is due at `due`, if the turn began at `began`; -1 is without
  /// limit.
  private func waitMilliseconds(
    _ timeout: Interval?, until due: Instant?, from began: Instant
  ) -> Int32 {
    guard delivered == 0, !isEnding else { return 0 }
    var limit = timeout
    if let due {
      var left = due.since(began)
      // What is near is waited for exactly.
      if left < Self.near { left = due.since(now) }
      limit = min(left, limit ?? left)
    }
    guard let limit else { return -1 }
    return Int32(clamping: limit.millisecondsRoundedUp)
  }

  /// Runs the timers that are due. Those that were set since the wait may be the next turn's.
  private func runTimers(at now: Instant) {
    guard !isEnding else { return }
    endpoint.handleTimeout(at: now, drainedAt: drain.judged(at: now))
  }
}
