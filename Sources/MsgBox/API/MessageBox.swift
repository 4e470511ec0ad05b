import CMsgBox

/// A box: the sockets, connections and timers of one thread, driven by one loop.
///
/// **Thread:** everything but a `Waker` belongs to the thread that made the box. Handlers are
/// called only from inside `run`, and every call is legal inside them but `run` itself.
///
/// ```
/// let box = try MessageBox()
/// try box.listen(on: "udp://127.0.0.1:2345")
/// while true {
///   try box.run { event in
///     if case .request(let request, let bytes) = event { try? box.answer(bytes, to: request) }
///   }
/// }
/// ```
public final class MessageBox {
  /// The loop under it.
  package let loop: RunLoop

  /// The number of the box in its process, 1...16 777 215; never given again.
  public let number: UInt32

  /// Whether `close` was called: every call but `close` then fails with `ended`.
  public private(set) var isClosed = false

  /// Makes a box of the calling thread.
  ///
  /// - Throws: `noDescriptors`, `noMemory`, `system`; `limit` after 16 777 215 boxes in one
  ///   process.
  public convenience init() throws(MessageError) {
    let number = cmsgbox_next_box()
    guard number != 0 else { throw MessageError(.limit) }
    switch RunLoop.make(box: number) {
    case .success(let loop):
      self.init(loop, number: number)
    case .failure(let errno):
      throw MessageError(status: errno.status, systemError: errno.rawValue)
    }
  }

  private init(_ loop: RunLoop, number: UInt32) {
    self.loop = loop
    self.number = number
    cmsgbox_register_box(number)
  }

  deinit {
    if !isClosed { cmsgbox_unregister_box(number) }
    loop.shutDown()
  }

  /// Ends the box: closes are sent, everything in it ends, no event follows. In a handler it takes
  /// effect after it.
  public func close() {
    guard !isClosed else { return }
    isClosed = true
    cmsgbox_unregister_box(number)
    loop.shutDown()
  }

  // MARK: The loop

  /// Runs one turn: sends what is queued, waits until something happens and hands out the events.
  ///
  /// - Parameters:
  ///   - timeout: How long to wait at most; nil is without limit, zero not at all.
  ///   - handler: Gets each event; its bytes live until it returns.
  /// - Returns: The number of events; 0 after a wake or when the time was over.
  /// - Throws: `reentrant` inside a handler, `ended`, `noDescriptors`, `noMemory`, `system`.
  @discardableResult
  public func run(
    timeout: Duration? = nil, _ handler: (Event) -> Void
  ) throws(MessageError) -> Int {
    let result = loop.turn(timeout: timeout.map { Interval($0) }) { event, bytes in
      handler(Event(event, bytes, isOfListener: loop.endpoint.isListener(event.handle)))
    }
    switch result {
    case .success(let count): return count
    case .failure(let status): throw MessageError(status: status)
    }
  }

  /// Sends what is queued without waiting for the end of the turn.
  public func flush() {
    if !isClosed { loop.flush() }
  }

  /// One descriptor that is readable, level-triggered, whenever there is something to receive; only
  /// poll it.
  ///
  /// With `nextDeadline` and `run(timeout: .zero)` a box lives inside any event loop.
  public var descriptor: Int32 { loop.descriptor }

  /// The time after which `run(timeout: .zero)` is due although the descriptor is silent; nil for
  /// never.
  public var nextDeadline: Duration? {
    let milliseconds = isClosed ? -1 : loop.deadlineMilliseconds
    return milliseconds < 0 ? nil : .milliseconds(milliseconds)
  }

  /// Wakes the loop of a box from other threads. It may outlive the box, and then does nothing.
  public struct Waker: Sendable {
    /// The waker of the loop.
    package let waker: MsgBox.Waker

    /// Makes the running or next `run` return without waiting. Any thread, any time.
    public func wake() {
      waker.wake()
    }
  }

  /// Makes a waker of this box.
  ///
  /// - Throws: `ended`, `noMemory`.
  public func makeWaker() throws(MessageError) -> Waker {
    guard !isClosed else { throw MessageError(.ended) }
    guard let waker = loop.makeWaker() else { throw MessageError(.noMemory) }
    return Waker(waker: waker)
  }

  // MARK: The log

  /// How much a line of the log matters.
  public enum LogLevel: UInt32, CaseIterable, Sendable {
    /// Something that the program should hear of did not work.
    case error = 1
    /// Something is amiss, and goes on.
    case warning = 2
    /// Beginnings and ends.
    case info = 3
    /// Everything else.
    case debug = 4
  }

  /// Sets who gets the log up to `level`: lines of UTF-8 without their ends; nil ends it. Nothing
  /// is logged by default.
  public func setLog(upTo level: LogLevel, _ handler: ((LogLevel, Span<UInt8>) -> Void)?) {
    loop.logLevel = MsgBox.LogLevel(rawValue: level.rawValue) ?? .warning
    guard let handler else {
      loop.log = nil
      return
    }
    loop.log = { level, line in handler(LogLevel(rawValue: level.rawValue) ?? .debug, line) }
  }
}
