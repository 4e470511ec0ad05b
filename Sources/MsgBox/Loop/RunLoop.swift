/// One box at work: the core, its sockets and its waits. Belongs to one thread.
package final class RunLoop {
  /// The protocol state. The loop's user calls it directly, with `now`; what it queues leaves at the next `flush` or turn.
  package var endpoint: Endpoint

  /// Gets each line of the log up to `logLevel`, in UTF-8 without a line end, valid during the call.
  package var log: ((LogLevel, Span<UInt8>) -> Void)?

  /// The least important level that is logged.
  package var logLevel = LogLevel.warning

  private init(box: UInt32) {
    fatalError("being written")
  }

  /// Makes a loop for the box of that number, 1...`Handle.maxBox`. Fails without descriptors or memory.
  package static func make(box: UInt32) -> Result<RunLoop, Errno> { fatalError() }

  /// The monotonic clock.
  package var now: Instant { fatalError() }

  /// Runs one turn: sends what is queued, waits up to `timeout` (nil: without limit, zero: not at all) for something to
  /// happen, receives, runs the timers that are due and delivers the events. The bytes of an event are valid during
  /// `deliver`, which may call anything but `turn`.
  ///
  /// Returns the number of events delivered, or `.reentrant`, `.ended` after `shutDown`, `.noDescriptors`, `.noMemory`
  /// or `.system`.
  package func turn(
    timeout: Interval?, deliver: (CoreEvent, RawSpan) -> Void
  ) -> Result<Int, Status> { fatalError() }

  /// Sends what the core has queued, as far as the system takes it. Legal inside `deliver`.
  package func flush() { fatalError() }

  /// One descriptor that is readable, level-triggered, whenever there is something to receive.
  package var descriptor: Int32 { fatalError() }

  /// The milliseconds, rounded up, until a turn is due although `descriptor` is silent: 0 now, -1 never.
  package var deadlineMilliseconds: Int { fatalError() }

  /// A handle for other threads to wake this loop; nil without a descriptor or memory.
  package func makeWaker() -> Waker? { fatalError() }

  /// Sends a close to every connection and closes all sockets; no event follows. Inside a turn it takes effect at the
  /// end of that turn, which delivers nothing more.
  package func shutDown() { fatalError() }
}
