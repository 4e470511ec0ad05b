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

extension Options {
  /// What a caller's options say; 0 is the default of each, and NULL of all. Only the bytes that
  /// the caller's version of the structure has are read. Sizes and flags that cannot be give
  /// options that are out of range.
  init(_ given: UnsafePointer<msg_Options>?) {
    self.init()
    guard let given = unsafe UnsafeRawPointer(given) else { return }
    var options = unsafe msg_Options()
    let size = unsafe given.load(as: Int.self)
    let known = unsafe min(size, MemoryLayout<msg_Options>.size)
    if known < MemoryLayout<Int>.size {
      core.heartbeat = Interval(nanoseconds: 0)
      return
    }
    unsafe withUnsafeMutableBytes(of: &options) { bytes in
      unsafe bytes.copyMemory(from: UnsafeRawBufferPointer(start: given, count: known))
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
  }

  private mutating func readTimes(_ options: msg_Options) {
    unsafe core.heartbeat.replace(options.heartbeat_ms)
    unsafe core.suspect.replace(options.suspect_ms)
    unsafe core.lost.replace(options.lost_ms)
    unsafe core.connectTimeout.replace(options.connect_timeout_ms)
    unsafe core.getTimeout.replace(options.get_timeout_ms)
    unsafe core.reconnectWait.replace(options.reconnect_wait_ms)
  }

  private mutating func readLimits(_ options: msg_Options) {
    unsafe core.maxMessageBytes.replace(options.max_message_bytes)
    unsafe core.sendMarkMessages.replace(options.send_mark_messages)
    unsafe core.sendMarkBytes.replace(options.send_mark_bytes)
    unsafe core.maxConnections.replace(options.max_connections)
    unsafe core.socketBufferBytes.replace(options.socket_buffer_bytes)
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
