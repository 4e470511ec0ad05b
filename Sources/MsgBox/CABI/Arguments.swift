import CMsgBox

extension msg_Data {
  /// Whether `bytes` may be read for `count` bytes.
  var isValid: Bool { unsafe count == 0 || (count > 0 && bytes != nil) }

  /// The caller's bytes; empty if they are not valid.
  var span: Span<UInt8> {
    @_lifetime(borrow self) get {
      let isReadable = unsafe isValid
      let start = unsafe isReadable ? bytes?.assumingMemoryBound(to: UInt8.self) : nil
      let buffer = unsafe UnsafeBufferPointer(start: start, count: isReadable ? count : 0)
      return unsafe _overrideLifetime(buffer.span, borrowing: self)
    }
  }
}

/// Reads a C string for as long as an address can be; more is no address, and neither is NULL.
func withAddress<Result>(
  _ text: UnsafePointer<CChar>?, _ body: (Span<UInt8>) -> Result
) -> Result {
  guard let text = unsafe text else { return body([UInt8]().span) }
  var count = 0
  while count <= LocatorParser.longestText, unsafe text[count] != 0 { count += 1 }
  return unsafe UnsafeRawBufferPointer(start: text, count: count).withMemoryRebound(
    to: UInt8.self
  ) { unsafe body($0.span) }
}

/// Copies a caller's structure that begins with its size: no more than its version of it has, and
/// no more than fits. What it does not have stays as it is in `target`.
///
/// - Returns: Whether the size holds at least itself.
func read<Structure>(
  _ source: UnsafeRawPointer, into target: inout Structure
) -> Bool {
  let size = unsafe source.load(as: Int.self)
  guard size >= MemoryLayout<Int>.size else { return false }
  let known = min(size, MemoryLayout<Structure>.size)
  unsafe withUnsafeMutableBytes(of: &target) { bytes in
    unsafe bytes.copyMemory(from: UnsafeRawBufferPointer(start: source, count: known))
  }
  return true
}

extension Options {
  /// What a caller's options say; 0 is the default of each, and NULL of all. Only the bytes that
  /// the caller's version of the structure has are read. Sizes and flags that cannot be give
  /// options that are out of range.
  init(_ given: UnsafePointer<msg_Options>?) {
    self.init()
    guard let given = unsafe UnsafeRawPointer(given) else { return }
    var options = unsafe msg_Options()
    guard unsafe MsgBox.read(given, into: &options) else {
      core.heartbeat = Interval(nanoseconds: 0)
      return
    }
    unsafe read(options)
  }

  private mutating func read(_ options: msg_Options) {
    unsafe context = UInt(bitPattern: options.context)
    unsafe readTimes(options)
    unsafe readLimits(options)
    unsafe core.implicitPeers = options.implicit_peers == 1
    // Not 0 or 1: nothing that this version knows.
    if unsafe options.implicit_peers > 1 { core.heartbeat = Interval(nanoseconds: 0) }
    unsafe core.sharePort = options.share_port == 1
    if unsafe options.share_port > 1 { core.heartbeat = Interval(nanoseconds: 0) }
    readLiveness(unsafe options.liveness)
  }

  private mutating func readTimes(_ options: msg_Options) {
    unsafe core.heartbeat.replace(options.heartbeat_ms)
    unsafe core.suspect.replace(options.suspect_ms)
    unsafe core.lost.replace(options.lost_ms)
    unsafe core.connectTimeout.replace(options.connect_timeout_ms)
    unsafe core.getTimeout.replace(options.get_timeout_ms)
    unsafe core.reconnectWait.replace(options.reconnect_wait_ms)
    unsafe core.closeTimeout.replace(options.close_timeout_ms)
    unsafe core.keepalive.replace(options.keepalive_ms)
  }

  private mutating func readLimits(_ options: msg_Options) {
    unsafe core.maxMessageBytes.replace(options.max_message_bytes)
    unsafe core.sendMarkMessages.replace(options.send_mark_messages)
    unsafe core.sendMarkBytes.replace(options.send_mark_bytes)
    unsafe core.maxConnections.replace(options.max_connections)
    unsafe core.socketBufferBytes.replace(options.socket_buffer_bytes)
    unsafe core.idleKeepalives.replace(options.idle_keepalives)
    unsafe core.receiveMarkMessages.replace(options.receive_mark_messages)
    unsafe core.receiveMarkBytes.replace(options.receive_mark_bytes)
    unsafe core.maxPerPrefix.replace(options.max_per_prefix)
  }

  private mutating func readLiveness(_ number: UInt32) {
    guard number <= UInt32(MSG_LIVENESS_ON_DEMAND) else {
      core.heartbeat = Interval(nanoseconds: 0)
      return
    }
    core.liveness = number == UInt32(MSG_LIVENESS_ON_DEMAND) ? .onDemand : .beat
  }
}

extension BoxOptions {
  /// What a caller's options say; 0 is the default of each, and NULL of all.
  ///
  /// - Throws: `invalidArgument` for a size that does not hold even itself.
  init(_ given: UnsafePointer<msg_BoxOptions>?) throws(MessageError) {
    self.init()
    guard let given = unsafe UnsafeRawPointer(given) else { return }
    var options = msg_BoxOptions()
    guard unsafe read(given, into: &options) else { throw MessageError(.invalidArgument) }
    core.sendMarkMessages.replace(options.send_mark_messages)
    core.turnDatagrams.replace(options.turn_datagrams)
    spin = .microseconds(options.spin_us)
    if options.send_mark_bytes != 0 { core.sendMarkBytes = options.send_mark_bytes }
    if options.receive_bytes != 0 { core.receiveBytes = options.receive_bytes }
  }
}

extension MessageBox.SendOptions {
  /// What a caller's options say; NULL is as `msg_send`.
  ///
  /// - Throws: `invalidArgument` for a size that does not hold even itself, flags that this version
  ///   does not know, and a channel that cannot be.
  init(_ given: UnsafePointer<msg_SendOptions>?) throws(MessageError) {
    self.init()
    guard let given = unsafe UnsafeRawPointer(given) else { return }
    var options = unsafe msg_SendOptions()
    let known = UInt32(MSG_SEND_RELIABLE | MSG_SEND_TELL | MSG_SEND_ALONE)
    guard unsafe read(given, into: &options), unsafe options.flags & ~known == 0,
      let channel = unsafe UInt8(exactly: options.channel)
    else { throw MessageError(.invalidArgument) }
    isReliable = unsafe options.flags & UInt32(MSG_SEND_RELIABLE) != 0
    tellsOutcome = unsafe options.flags & UInt32(MSG_SEND_TELL) != 0
    isAlone = unsafe options.flags & UInt32(MSG_SEND_ALONE) != 0
    self.channel = channel
    let milliseconds = unsafe options.deadline_ms
    deadline = milliseconds == 0 ? nil : .milliseconds(milliseconds)
    key = unsafe options.key
    context = unsafe UInt(bitPattern: options.context)
  }
}

extension Interval {
  /// Takes a number of milliseconds; 0 leaves the default.
  fileprivate mutating func replace(_ milliseconds: UInt32) {
    if milliseconds != 0 { self = .milliseconds(UInt64(milliseconds)) }
  }
}

extension UInt32 {
  /// Takes another value; 0 leaves the default.
  fileprivate mutating func replace(_ value: UInt32) {
    if value != 0 { self = value }
  }
}
