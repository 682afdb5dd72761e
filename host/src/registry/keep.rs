//! Objects that the gateway makes itself and that show what is elsewhere: whole, status included, in one write.

use super::{ObjectKey, Registry, stored};
use crate::kind::Kind;
use crate::model::failure::Failure;
use crate::model::object::Object;
use crate::object::managed_fields::{Writer, is_same, record_write};
use crate::object::metadata;
use crate::store::StoreError;
use jiff::Timestamp;

impl Registry {
    /// Makes an object be so: `make` gets what is stored, or nothing, again for each lost race. No rule of the kind
    /// is asked, because no client wrote it. What is so already is not written and wakes no watcher.
    ///
    /// # Errors
    /// 413 when it grows beyond [`super::OBJECT_MAX`], 500 when the store refuses.
    pub async fn keep(
        &self,
        kind: &'static Kind,
        key: &ObjectKey,
        manager: &str,
        mut make: impl FnMut(Option<&Object>) -> Object,
    ) -> Result<Object, Failure> {
        let path = key.path(kind);
        loop {
            let record = self.store_of(kind).get(&path).await.map_err(|e| stored::medium_failure(&e))?;
            let read =
                |record: &crate::store::Record| stored::decode(&record.key, &record.value, record.revision);
            let current = record.as_ref().map(read).transpose()?;
            let mut next = make(current.as_ref());
            let now = Timestamp::now();
            record_write(kind, current.as_ref(), &mut next, Writer { manager, subresource: "", now });
            match &current {
                Some(current) => metadata::keep_for_update(&mut next, current),
                None => {
                    let uid = uuid::Uuid::new_v4().to_string();
                    metadata::fill_for_create(kind, &mut next, &key.namespace, &uid, now);
                }
            }
            if current.as_ref().is_some_and(|current| is_same(current, &next)) {
                return Ok(next);
            }
            let before = record.as_ref().map_or(0, |record| record.value.len());
            let value = stored::encode_bounded(kind, &next, before)?;
            let written = match record {
                Some(record) => self.store_of(kind).update(record.key, record.revision, value).await,
                None => self.store_of(kind).create(path.clone(), value).await,
            };
            match written {
                Ok(revision) => {
                    stored::stamp(&mut next, revision);
                    return Ok(next);
                }
                Err(StoreError::Conflict { .. } | StoreError::Exists { .. }) => {
                    tokio::task::yield_now().await;
                }
                Err(error) => return Err(stored::medium_failure(&error)),
            }
        }
    }

    /// Removes such an object, whatever finalizers it carries: what it showed is gone.
    ///
    /// # Errors
    /// 500 when the store refuses.
    pub async fn drop_kept(&self, kind: &'static Kind, key: &ObjectKey) -> Result<(), Failure> {
        loop {
            let record = match self.store_of(kind).get(&key.path(kind)).await {
                Ok(Some(record)) => record,
                Ok(None) => return Ok(()),
                Err(error) => return Err(stored::medium_failure(&error)),
            };
            match self.store_of(kind).delete(record.key, record.revision).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict { .. }) => tokio::task::yield_now().await,
                Err(error) => return Err(stored::medium_failure(&error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::plugin::KIND;
    use crate::registry::{DeleteOptions, WriteOptions};
    use crate::store::MemoryStore;
    use serde_json::json;
    use std::sync::Arc;

    fn shown(state: &str) -> Object {
        Object::from_value(json!({"apiVersion": "plugins.umbel.dev/v1alpha1", "kind": "Plugin",
            "metadata": {"name": "p", "labels": {"a": "b"}}, "spec": {}, "status": {"state": state}}))
        .unwrap()
    }

    #[tokio::test]
    async fn what_is_so_already_is_not_written_again() {
        let registry = Registry::new(Arc::new(MemoryStore::default()));
        let key = ObjectKey::new("", "p");
        let made = registry.keep(&KIND, &key, "umbel", |_| shown("Active")).await.unwrap();
        assert_eq!((made.text(&["status", "state"]), registry.revision()), ("Active", 1));
        assert_eq!(made, registry.get(&KIND, &key).await.unwrap());
        let owners = made.at(&["metadata", "managedFields"]).unwrap();
        assert_eq!(owners[0]["manager"], "umbel");
        let stays = |current: Option<&Object>| current.cloned().unwrap();
        registry.keep(&KIND, &key, "umbel", stays).await.unwrap();
        assert_eq!(registry.revision(), 1);
        let failed = |current: Option<&Object>| {
            let mut next = current.cloned().unwrap();
            next.set(&["status", "state"], "Failed");
            next
        };
        let changed = registry.keep(&KIND, &key, "umbel", failed).await.unwrap();
        assert_eq!((changed.uid(), registry.revision()), (made.uid(), 2));
        assert_eq!(changed, registry.get(&KIND, &key).await.unwrap());
        registry.drop_kept(&KIND, &key).await.unwrap();
        assert_eq!(registry.get(&KIND, &key).await.unwrap_err().code, 404);
        registry.drop_kept(&KIND, &key).await.unwrap();
    }

    #[tokio::test]
    async fn clients_can_neither_make_nor_remove_one() {
        let registry = Registry::new(Arc::new(MemoryStore::default()));
        let refused = registry.create(&KIND, "", shown("x"), &WriteOptions::by("t")).await.unwrap_err();
        assert_eq!(refused.code, 405);
        assert!(refused.message.contains("into the plugin directory"), "{}", refused.message);
        let options = DeleteOptions::default();
        let refused = registry.delete(&KIND, &ObjectKey::new("", "p"), &options).await.unwrap_err();
        assert!(refused.message.contains("remove <name>.wasm"), "{}", refused.message);
    }
}
