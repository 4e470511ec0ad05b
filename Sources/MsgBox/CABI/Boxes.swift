// The names of C:
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CMsgBox

// The calls on boxes; msgbox.h documents each.

/// `msg_default_box` of `msgbox.h`.
@_cdecl("msg_default_box") @implementation
public func msg_default_box() -> msg_Box {
  let box = try? ThreadBoxes.defaultBox
  return msg_Box(number: box?.number ?? 0)
}

/// `msg_listen` of `msgbox.h`.
@_cdecl("msg_listen") @implementation
public func msg_listen(
  _ address: UnsafePointer<CChar>!, _ callback: msg_Callback!
) -> msg_Conn {
  guard let callback = unsafe callback,
    let box = try? ThreadBoxes.defaultBox
  else { return msg_Conn(id: 0) }
  return unsafe begin(box, address, callback, nil, MessageBox.listen)
}

/// `msg_connect` of `msgbox.h`.
@_cdecl("msg_connect") @implementation
public func msg_connect(
  _ address: UnsafePointer<CChar>!, _ callback: msg_Callback!
) -> msg_Conn {
  guard let callback = unsafe callback,
    let box = try? ThreadBoxes.defaultBox
  else { return msg_Conn(id: 0) }
  return unsafe begin(box, address, callback, nil, MessageBox.connect)
}

/// `msg_box_listen` of `msgbox.h`.
@_cdecl("msg_box_listen") @implementation
public func msg_box_listen(
  _ box: msg_Box, _ address: UnsafePointer<CChar>!, _ callback: msg_Callback!,
  _ options: UnsafePointer<msg_Options>!
) -> msg_Conn {
  guard let callback = unsafe callback, let box = try? findBox(box.id) else {
    return msg_Conn(id: 0)
  }
  return unsafe begin(box, address, callback, options, MessageBox.listen)
}

/// `msg_box_connect` of `msgbox.h`.
@_cdecl("msg_box_connect") @implementation
public func msg_box_connect(
  _ box: msg_Box, _ address: UnsafePointer<CChar>!, _ callback: msg_Callback!,
  _ options: UnsafePointer<msg_Options>!
) -> msg_Conn {
  guard let callback = unsafe callback, let box = try? findBox(box.id) else {
    return msg_Conn(id: 0)
  }
  return unsafe begin(box, address, callback, options, MessageBox.connect)
}

/// `MessageBox.listen` or `MessageBox.connect`, by address, options and words.
private typealias Beginning = (MessageBox) -> (
  Span<UInt8>, ConnectionOptions, UserWords
) throws(MessageError) -> Handle

private func begin(
  _ box: MessageBox, _ address: UnsafePointer<CChar>?,
  _ callback: @escaping @convention(c) (UnsafePointer<msg_Event>?) -> Void,
  _ given: UnsafePointer<msg_Options>?, _ beginning: Beginning
) -> msg_Conn {
  let options = unsafe Options(given)
  let words = unsafe UserWords(callback, context: options.context)
  let handle = unsafe withAddress(address) { text in
    try? beginning(box)(text, options.core, words)
  }
  return msg_Conn(id: handle?.rawValue ?? 0)
}

/// `msg_runloop` of `msgbox.h`.
@_cdecl("msg_runloop") @implementation
public func msg_runloop(_ timeout: Int32) -> Int32 {
  do throws(MessageError) {
    return try ThreadBoxes.defaultBox.runForC(timeout)
  } catch {
    return error.code.number
  }
}

/// `msg_box_create` of `msgbox.h`.
@_cdecl("msg_box_create") @implementation
public func msg_box_create() -> msg_Box {
  let box = try? ThreadBoxes.currentOrNew.makeBox()
  return msg_Box(number: box?.number ?? 0)
}

/// `msg_box_destroy` of `msgbox.h`.
@_cdecl("msg_box_destroy") @implementation
public func msg_box_destroy(_ box: msg_Box) -> Int32 {
  answer(box.id) { box throws(MessageError) in ThreadBoxes.current?.destroy(box) }
}

/// `msg_box_set_options` of `msgbox.h`.
@_cdecl("msg_box_set_options") @implementation
public func msg_box_set_options(
  _ box: msg_Box, _ options: UnsafePointer<msg_BoxOptions>!
) -> Int32 {
  answer(box.id) { box throws(MessageError) in
    try box.setOptions(unsafe BoxOptions(options))
  }
}

/// `msg_box_runloop` of `msgbox.h`.
@_cdecl("msg_box_runloop") @implementation
public func msg_box_runloop(_ box: msg_Box, _ timeout: Int32) -> Int32 {
  result(box.id) { box throws(MessageError) in box.runForC(timeout) }
}

/// `msg_box_descriptor` of `msgbox.h`.
@_cdecl("msg_box_descriptor") @implementation
public func msg_box_descriptor(_ box: msg_Box) -> Int32 {
  result(box.id) { box throws(MessageError) in box.descriptor }
}

/// `msg_box_deadline_ms` of `msgbox.h`.
@_cdecl("msg_box_deadline_ms") @implementation
public func msg_box_deadline_ms(_ box: msg_Box) -> Int32 {
  result(box.id) { box throws(MessageError) in Int32(clamping: box.loop.deadlineMilliseconds) }
}

/// `msg_box_flush` of `msgbox.h`.
@_cdecl("msg_box_flush") @implementation
public func msg_box_flush(_ box: msg_Box) -> Int32 {
  answer(box.id) { box throws(MessageError) in box.flush() }
}

/// `msg_waker_create` of `msgbox.h`.
@_cdecl("msg_waker_create") @implementation
public func msg_waker_create(_ box: msg_Box) -> OpaquePointer! {
  guard let box = try? findBox(box.id), let waker = try? box.makeWaker() else { return nil }
  return unsafe waker.waker.retained()
}

/// `msg_waker_wake` of `msgbox.h`.
@_cdecl("msg_waker_wake") @implementation
public func msg_waker_wake(_ waker: OpaquePointer!) {
  unsafe cmsgbox_waker_wake(waker)
}

/// `msg_waker_destroy` of `msgbox.h`.
@_cdecl("msg_waker_destroy") @implementation
public func msg_waker_destroy(_ waker: OpaquePointer!) {
  unsafe cmsgbox_waker_release(waker)
}

/// `msg_box_set_log` of `msgbox.h`.
@_cdecl("msg_box_set_log") @implementation
public func msg_box_set_log(
  _ box: msg_Box, _ level: UInt32, _ callback: msg_LogCallback!, _ user: UnsafeMutableRawPointer!
) -> Int32 {
  answer(box.id) { box throws(MessageError) in
    guard let callback = unsafe callback, let level = MessageBox.LogLevel(rawValue: min(level, 4))
    else { return box.setLog(upTo: .error, nil) }
    box.setLog(upTo: level) { level, line in
      var text = unsafe line.withUnsafeBufferPointer { unsafe Array($0) }
      text.append(0)
      unsafe text.withUnsafeBytes { bytes in
        let start = unsafe bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
        unsafe callback(user, level.rawValue, start)
      }
    }
  }
}
