// The names of C:
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CMsgBox

// The calls that send, ask and answer; msgbox.h documents each.

/// `msg_send` of `msgbox.h`.
@_cdecl("msg_send") @implementation
public func msg_send(_ conn: msg_Conn, _ data: msg_Data) -> Int32 {
  guard unsafe data.isValid else { return Status.invalidArgument.rawValue }
  return status(conn.id) { unsafe $0.queue(data.span, to: Handle(rawValue: conn.id)) }
}

/// `msg_send_with` of `msgbox.h`.
@_cdecl("msg_send_with") @implementation
public func msg_send_with(
  _ conn: msg_Conn, _ data: msg_Data, _ options: UnsafePointer<msg_SendOptions>!
) -> Int32 {
  guard unsafe data.isValid else { return Status.invalidArgument.rawValue }
  let lent = unsafe lend(data, options)
  let result = status(conn.id) { box in
    guard let options = try? unsafe MessageBox.SendOptions(options).core else {
      return .invalidArgument
    }
    return unsafe box.queue(
      data.span, to: Handle(rawValue: conn.id), options, shared: lent.map { MessageBytes($0) })
  }
  if result != Status.ok.rawValue { lent?.giveUp() }
  return result
}

/// `msg_send_any` of `msgbox.h`.
@_cdecl("msg_send_any") @implementation
public func msg_send_any(
  _ listener: msg_Conn, _ data: msg_Data, _ options: UnsafePointer<msg_SendOptions>!,
  _ chosen: UnsafeMutablePointer<msg_Conn>!
) -> Int32 {
  unsafe chosen?.pointee = msg_Conn(id: 0)
  let lent = unsafe lend(data, options)
  let status = unsafe answer(listener.id, data) { box throws(MessageError) in
    let how = try unsafe MessageBox.SendOptions(options)
    let listener = Listener(Handle(rawValue: listener.id))
    let connection = try unsafe box.sendAny(
      data.span, from: listener, options: how, shared: lent.map { MessageBytes($0) })
    unsafe chosen?.pointee = msg_Conn(id: connection.id)
  }
  if status != Status.ok.rawValue { lent?.giveUp() }
  return status
}

/// `msg_broadcast` of `msgbox.h`.
@_cdecl("msg_broadcast") @implementation
public func msg_broadcast(
  _ listener: msg_Conn, _ data: msg_Data, _ options: UnsafePointer<msg_SendOptions>!,
  _ skipped: UnsafeMutablePointer<msg_Conn>!, _ skippedCount: UnsafeMutablePointer<Int>!
) -> Int32 {
  let room = unsafe skipped == nil ? 0 : skippedCount?.pointee ?? 0
  unsafe skippedCount?.pointee = 0
  guard unsafe data.isValid else { return Status.invalidArgument.rawValue }
  let lent = unsafe lend(data, options)
  let status = result(listener.id) { box throws(MessageError) in
    let how = try unsafe MessageBox.SendOptions(options)
    let listener = Listener(Handle(rawValue: listener.id))
    var count = 0
    let reached = try unsafe box.broadcast(
      data.span, from: listener, options: how, shared: lent.map { MessageBytes($0) }
    ) { handle, _ in
      // The room is a size_t of C: one above `Int.max` comes here as a negative number.
      if UInt(bitPattern: count) < UInt(bitPattern: room) {
        unsafe skipped?[count] = msg_Conn(id: handle.rawValue)
      }
      count += 1
    }
    unsafe skippedCount?.pointee = count
    return Int32(clamping: reached)
  }
  if status < 0 { lent?.giveUp() }
  return status
}

/// `msg_get` of `msgbox.h`.
@_cdecl("msg_get") @implementation
public func msg_get(
  _ conn: msg_Conn, _ data: msg_Data, _ context: UnsafeMutableRawPointer!
) -> Int32 {
  unsafe msg_get_within(conn, data, context, 0, nil)
}

/// `msg_get_within` of `msgbox.h`.
@_cdecl("msg_get_within") @implementation
public func msg_get_within(
  _ conn: msg_Conn, _ data: msg_Data, _ context: UnsafeMutableRawPointer!, _ timeout: UInt32,
  _ get: UnsafeMutablePointer<msg_Get>!
) -> Int32 {
  unsafe get?.pointee = msg_Get(id: 0)
  guard unsafe data.isValid else { return Status.invalidArgument.rawValue }
  return status(conn.id) { box in
    let begun = unsafe box.ask(
      data.span, from: Handle(rawValue: conn.id), context: UInt(bitPattern: context),
      timeout: timeout == 0 ? nil : .milliseconds(UInt64(timeout)))
    switch begun {
    case .failure(let status): return status
    case .success(let handle):
      unsafe get?.pointee = msg_Get(id: handle.rawValue)
      return .ok
    }
  }
}

/// `msg_cancel` of `msgbox.h`.
@_cdecl("msg_cancel") @implementation
public func msg_cancel(_ get: msg_Get) -> Int32 {
  answer(get.id) { box throws(MessageError) in
    try box.cancel(PendingGet(Handle(rawValue: get.id)))
  }
}

/// `msg_answer` of `msgbox.h`.
@_cdecl("msg_answer") @implementation
public func msg_answer(_ request: msg_Request, _ data: msg_Data) -> Int32 {
  guard unsafe data.isValid else { return Status.invalidArgument.rawValue }
  return status(request.id) { unsafe $0.reply(data.span, to: Handle(rawValue: request.id)) }
}

/// The caller's memory, if it lends it instead of having it copied; its `release` is called when
/// the last user drops what this returns.
private func lend(
  _ data: msg_Data, _ options: UnsafePointer<msg_SendOptions>?
) -> LentBytes? {
  guard unsafe data.isValid, let options = unsafe UnsafeRawPointer(options) else { return nil }
  var known = unsafe msg_SendOptions()
  guard unsafe read(options, into: &known), let release = unsafe known.release else { return nil }
  let context = unsafe known.release_context
  return unsafe LentBytes(UnsafeRawBufferPointer(start: data.bytes, count: data.count)) {
    unsafe release(context, msg_Data(bytes: $0.baseAddress, count: $0.count))
  }
}

/// As `answer`, if the bytes of the call can be read.
private func answer(
  _ id: UInt64, _ data: msg_Data, _ body: (MessageBox) throws(MessageError) -> Void
) -> Int32 {
  unsafe data.isValid ? answer(id, body) : Status.invalidArgument.rawValue
}
