//! How servers put messages on the wire.

use bytes::Bytes;

/// A [`GetEventsResponse`](crate::tetragon::GetEventsResponse) in its wire format. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedEvent(Bytes);

impl EncodedEvent {
    /// Takes the serialised event; it is sent as it is.
    pub fn new(encoded: impl Into<Bytes>) -> Self {
        Self(encoded.into())
    }

    /// The serialised event.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}

impl From<&crate::tetragon::GetEventsResponse> for EncodedEvent {
    fn from(event: &crate::tetragon::GetEventsResponse) -> Self {
        Self(prost::Message::encode_to_vec(event).into())
    }
}

#[cfg(feature = "server")]
pub(crate) use server::ServerCodec;

#[cfg(feature = "server")]
mod server {
    use std::marker::PhantomData;

    use bytes::BufMut;
    use prost::Message;
    use tonic::Status;
    use tonic::codec::{Codec, EncodeBuf, Encoder};
    use tonic_prost::{ProstCodec, ProstDecoder};

    use super::EncodedEvent;

    /// What a server can answer with.
    pub(crate) trait ToWire {
        fn to_wire(&self, buffer: &mut EncodeBuf<'_>) -> Result<(), Status>;
    }

    impl<M: Message> ToWire for M {
        fn to_wire(&self, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
            self.encode(buffer)
                .map_err(|error| Status::internal(format!("cannot encode the answer: {error}")))
        }
    }

    impl ToWire for EncodedEvent {
        fn to_wire(&self, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
            buffer.reserve(self.0.len());
            buffer.put_slice(&self.0);
            Ok(())
        }
    }

    /// Decodes protobuf, encodes whatever knows its wire format.
    pub(crate) struct ServerCodec<T, U>(PhantomData<(T, U)>);

    impl<T, U> Default for ServerCodec<T, U> {
        fn default() -> Self {
            Self(PhantomData)
        }
    }

    impl<T, U> Codec for ServerCodec<T, U>
    where
        T: ToWire + Send + 'static,
        U: Message + Default + Send + 'static,
    {
        type Encode = T;
        type Decode = U;
        type Encoder = WireEncoder<T>;
        type Decoder = ProstDecoder<U>;

        fn encoder(&mut self) -> Self::Encoder {
            WireEncoder(PhantomData)
        }

        fn decoder(&mut self) -> Self::Decoder {
            ProstCodec::<U, U>::default().decoder()
        }
    }

    pub(crate) struct WireEncoder<T>(PhantomData<T>);

    impl<T: ToWire> Encoder for WireEncoder<T> {
        type Item = T;
        type Error = Status;

        fn encode(&mut self, item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
            item.to_wire(buffer)
        }
    }
}
