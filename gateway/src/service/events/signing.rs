//! The key that signs security events: ES256, made at first use, sealed under the master key.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use crate::secrets::KeyRing;
use crate::store::{Store, StoreError};

/// The row of `setting` that holds the key, and its place as associated data.
const NAME: &str = "event_signing_key";
/// The type of a security event token (RFC 8417 section 2.3).
const TYPE: &str = "secevent+jwt";

/// A key pair, ready to sign.
struct Key {
    secret: EncodingKey,
    id: String,
    x: String,
    y: String,
}

impl Key {
    fn open(pkcs8: &[u8]) -> Result<Self, StoreError> {
        let damaged = || StoreError::damaged("the key that signs events");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map_err(|_| damaged())?;
        // An uncompressed point: 4, x, y (SEC 1 section 2.3.3).
        let point = pair.public_key().as_ref();
        let (Some(x), Some(y), Some(4)) = (point.get(1..33), point.get(33..65), point.first().copied()) else {
            return Err(damaged());
        };
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        // The thumbprint of RFC 7638: the members in this order, without spaces.
        let thumbprint = Sha256::digest(format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#));
        Ok(Self { secret: EncodingKey::from_ec_der(pkcs8), id: URL_SAFE_NO_PAD.encode(thumbprint), x, y })
    }
}

/// Signs tokens, and says with which key.
pub(super) struct Signer {
    store: Store,
    ring: Arc<KeyRing>,
    key: OnceCell<Key>,
}

impl Signer {
    pub(super) fn new(store: Store, ring: Arc<KeyRing>) -> Self {
        Self { store, ring, key: OnceCell::new() }
    }

    /// A signed token of these claims.
    ///
    /// # Errors
    /// The store's, and a key that this master key does not open.
    pub(super) async fn sign(&self, claims: &Value) -> Result<String, StoreError> {
        let key = self.key.get_or_try_init(|| self.make()).await?;
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(key.id.clone());
        jsonwebtoken::encode(&header, claims, &key.secret)
            .map_err(|error| StoreError::Other(format!("an event could not be signed: {error}")))
    }

    /// The public key as a JWK set (RFC 7517); empty until the first event is signed.
    ///
    /// # Errors
    /// As [`Signer::sign`].
    pub(super) async fn published(&self) -> Result<Value, StoreError> {
        if self.key.get().is_none() && self.store.setting(NAME).await?.is_none() {
            return Ok(json!({"keys": []}));
        }
        let key = self.key.get_or_try_init(|| self.make()).await?;
        Ok(json!({"keys": [
            {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": key.id, "x": key.x, "y": key.y}
        ]}))
    }

    /// Reads the key, or makes it. Of two processes that make one at once, both use the one that was stored.
    async fn make(&self) -> Result<Key, StoreError> {
        let sealed = match self.store.setting(NAME).await? {
            Some(sealed) => sealed,
            None => {
                let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                    .map_err(|_| StoreError::Other("a key for events could not be made".to_owned()))?;
                let pair = Zeroizing::new(pair.as_ref().to_vec());
                self.store.keep_setting(NAME, self.ring.seal(NAME, &pair)).await?
            }
        };
        let pkcs8 = self
            .ring
            .open(NAME, &sealed)
            .map_err(|error| StoreError::Other(format!("the key that signs events does not open: {error}")))?;
        Key::open(&pkcs8)
    }
}
