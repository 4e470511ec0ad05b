// The names of C:
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CMsgBox

// The calls on connections, listeners and requests; msgbox.h documents each.

/// `msg_send` of `msgbox.h`.
@_cdecl("msg_send") @implementation
public func msg_send(_ conn: msg_Conn, _ data: msg_Data) -> Int32 {
  unsafe answer(conn.id, data) { box throws(MessageError) in
    try unsafe box.send(data.span, to: Connection(Handle(rawValue: conn.id)))
  }
}

/// `msg_get` of `msgbox.h`.
@_cdecl("msg_get") @implementation
public func msg_get(
  _ conn: msg_Conn, _ data: msg_Data, _ context: UnsafeMutableRawPointer!
) -> Int32 {
  unsafe msg_get_within(conn, data, context, 0)
}

/// `msg_get_within` of `msgbox.h`.
@_cdecl("msg_get_within") @implementation
public func msg_get_within(
  _ conn: msg_Conn, _ data: msg_Data, _ context: UnsafeMutableRawPointer!, _ timeout: UInt32
) -> Int32 {
  unsafe answer(conn.id, data) { box throws(MessageError) in
    try unsafe box.get(
      data.span, from: Connection(Handle(rawValue: conn.id)),
      timeout: timeout == 0 ? nil : .milliseconds(timeout),
      context: UInt(bitPattern: context))
  }
}

/// `msg_answer` of `msgbox.h`.
@_cdecl("msg_answer") @implementation
public func msg_answer(_ request: msg_Request, _ data: msg_Data) -> Int32 {
  unsafe answer(request.id, data) { box throws(MessageError) in
    let request = Request(Handle(rawValue: request.id), of: Connection(.none))
    try unsafe box.answer(data.span, to: request)
  }
}

/// `msg_disconnect` of `msgbox.h`.
@_cdecl("msg_disconnect") @implementation
public func msg_disconnect(_ conn: msg_Conn) -> Int32 {
  answer(conn.id) { box throws(MessageError) in
    try box.disconnect(Connection(Handle(rawValue: conn.id)))
  }
}

/// `msg_unlisten` of `msgbox.h`.
@_cdecl("msg_unlisten") @implementation
public func msg_unlisten(_ listener: msg_Conn) -> Int32 {
  answer(listener.id) { box throws(MessageError) in
    try box.unlisten(Listener(Handle(rawValue: listener.id)))
  }
}

/// `msg_set_context` of `msgbox.h`.
@_cdecl("msg_set_context") @implementation
public func msg_set_context(_ conn: msg_Conn, _ context: UnsafeMutableRawPointer!) -> Int32 {
  let word = UInt(bitPattern: context)
  return answer(conn.id) { box throws(MessageError) in
    try box.setContext(word, of: Connection(Handle(rawValue: conn.id)))
  }
}

/// `msg_context` of `msgbox.h`.
@_cdecl("msg_context") @implementation
public func msg_context(_ conn: msg_Conn) -> UnsafeMutableRawPointer! {
  let box = try? findBox(conn.id)
  let word = box?.context(of: Connection(Handle(rawValue: conn.id)))
  return unsafe UnsafeMutableRawPointer(bitPattern: word ?? 0)
}

/// `msg_address` of `msgbox.h`.
@_cdecl("msg_address") @implementation
public func msg_address(
  _ conn: msg_Conn, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int
) -> Int32 {
  result(conn.id) { box throws(MessageError) in
    guard let text = box.addressText(of: Handle(rawValue: conn.id)) else {
      throw MessageError(.badHandle)
    }
    guard let buffer = unsafe buffer, capacity > text.count else {
      throw MessageError(.invalidArgument)
    }
    for place in text.indices { unsafe buffer[place] = CChar(bitPattern: text[place]) }
    unsafe buffer[text.count] = 0
    return Int32(truncatingIfNeeded: text.count)
  }
}

/// `msg_local_port` of `msgbox.h`.
@_cdecl("msg_local_port") @implementation
public func msg_local_port(_ conn: msg_Conn) -> Int32 {
  result(conn.id) { box throws(MessageError) in
    guard let port = box.localPort(of: Connection(Handle(rawValue: conn.id))) else {
      throw MessageError(.badHandle)
    }
    return Int32(port)
  }
}

/// `msg_conn_statistics` of `msgbox.h`.
@_cdecl("msg_conn_statistics") @implementation
public func msg_conn_statistics(
  _ conn: msg_Conn, _ statistics: UnsafeMutablePointer<msg_ConnStatistics>!
) -> Int32 {
  answer(conn.id) { box throws(MessageError) in
    guard let found = box.statistics(of: Connection(Handle(rawValue: conn.id))) else {
      throw MessageError(.badHandle)
    }
    var copy = msg_ConnStatistics(found.counters)
    try unsafe fill(UnsafeMutableRawPointer(statistics), from: &copy)
  }
}

/// As `answer`, if the bytes of the call can be read.
private func answer(
  _ id: UInt64, _ data: msg_Data, _ body: (MessageBox) throws(MessageError) -> Void
) -> Int32 {
  unsafe data.isValid ? answer(id, body) : Status.invalidArgument.rawValue
}
