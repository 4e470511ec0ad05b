import CMsgBox

extension MessageBox {
  /// Runs one turn and hands its events to the C callbacks; `timeout` is in milliseconds, negative
  /// is without limit.
  func runForC(_ timeout: Int32) -> Int32 {
    let limit = timeout < 0 ? nil : Interval.milliseconds(UInt64(timeout))
    let number = number
    switch loop.turn(timeout: limit, deliver: { Self.deliver($0, $1, box: number) }) {
    case .success(let count): return Int32(clamping: count)
    case .failure(let status): return status.rawValue
    }
  }

  private static func deliver(_ event: CoreEvent, _ bytes: RawSpan, box: UInt32) {
    let handler = event.userWords.handler
    typealias Callback = @convention(c) (UnsafePointer<msg_Event>?) -> Void
    guard handler != 0, let callback = unsafe unsafeBitCast(handler, to: Callback?.self)
    else { return }
    unsafe bytes.withUnsafeBytes { buffer in
      var forC = unsafe msg_Event(event, buffer, box: box)
      unsafe withUnsafePointer(to: &forC) { unsafe callback($0) }
    }
  }
}

extension UserWords {
  /// What the core keeps of a callback and a context.
  init(_ callback: msg_Callback, context: UInt) {
    let address = unsafe unsafeBitCast(callback, to: UInt.self)
    self.init(context: context, handler: address)
  }
}

extension msg_Event {
  fileprivate init(_ event: CoreEvent, _ bytes: UnsafeRawBufferPointer, box: UInt32) {
    unsafe self.init(
      size: MemoryLayout<msg_Event>.size,
      type: UInt32(event.kind.rawValue),
      code: event.status.rawValue,
      box: msg_Box(number: box),
      conn: msg_Conn(id: event.handle.rawValue),
      listener: msg_Conn(id: event.listener.rawValue),
      next: msg_Conn(id: event.next.rawValue),
      request: msg_Request(id: event.request.rawValue),
      data: msg_Data(bytes: bytes.baseAddress, count: bytes.count),
      context: UnsafeMutableRawPointer(bitPattern: event.userWords.context),
      get_context: UnsafeMutableRawPointer(bitPattern: event.getContext),
      system_error: event.systemError,
      undelivered: UInt64(clamping: event.undelivered))
  }
}

extension msg_Box {
  /// The handle of the box of that number: a handle without slot and generation; 0 for 0.
  init(number: UInt32) {
    self.init(id: Handle(box: number, slot: 0, generation: 0).rawValue)
  }
}
